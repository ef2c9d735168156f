"""A model to ONNX (a static graph without plugins, compared with what it was before it is written) and to an engine."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from pathlib import Path

from edgekit.artifacts import kind_of, resolve, sha256, tool_versions
from edgekit.data.images import INPUT_TYPES
from edgekit.deployment.float_input import set_input_type
from edgekit.deployment.mask_files import check_masks, written
from edgekit.deployment.precision.conversion import convert
from edgekit.deployment.source import of_graph
from edgekit.deployment.verify import Verification
from edgekit.deployment.verify import verify as compare_forms
from edgekit.errors import EdgekitError
from edgekit.progress import Track, silent
from edgekit.runtime.engine_file import Engine
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.session import Session

SUFFIXES = {"onnx": (".onnx", ".engine"), "torchvision": (".pth", ".pt", ".safetensors")}


@dataclasses.dataclass(frozen=True)
class Export:
    """What was written; all from ``nodes`` to ``engine`` is of an ONNX graph and empty for other formats."""

    output: Path
    format: str
    input_size: tuple[int, int]
    precision: str
    input_type: str = "uint8"
    nodes: int = 0
    node_kinds: dict[str, int] = dataclasses.field(default_factory=dict)
    kept: tuple[str, ...] = ()  # blocks and layers left in float32
    mask_files: tuple[Path, ...] = ()  # beside ``output``, where its masks are made by graphs of their own
    verification: Verification | None = None  # against PyTorch
    engine: Engine | None = None
    triton: Path | None = None
    graph_seconds: float = 0.0  # until the float32 graph stood
    seconds: float = 0.0
    megabytes: float = 0.0
    notes: tuple[str, ...] = ()  # what to know to use the file


def export(
    model: str | Path,
    output: Path,
    size: tuple[int, int] | None = None,
    format: str = "onnx",
    generations: int | None = None,
    best_only: bool = False,
    batch: int = 1,
    input: str | None = None,
    proposals: int | None = None,
    detections: int | None = None,
    masks: str = "all",
    precision: str | None = None,
    target: str = "tensorrt",
    calibration: Path | None = None,
    calibrator: str = "percentile",
    keep: tuple[str, ...] = ("auto",),
    trt: str | None = None,
    compute_capability: tuple[str, ...] = (),
    workspace_mb: int | None = None,
    timing_cache: Path | None = None,
    refittable: bool = False,
    version_compatible: bool = False,
    hardware_compatible: bool = False,
    reserve_classes: int = 0,
    into: Path | None = None,
    triton: Path | None = None,
    verify: Path | None = None,
    no_verify: bool = False,
    track: Track = silent,
) -> Export:
    """Write a model as a static ONNX graph, on request as a TensorRT engine too, or as torchvision's state dict.

    ``model`` is a checkpoint or, for another precision, an engine or a Triton repository of it, a graph that this
    function wrote before; that needs no PyTorch.

    ``size`` is the input's (height, width), the model's own by default; ``batch`` how many canvases a run takes;
    ``input`` "uint8" (the default) or "float", images that are normalised already; ``proposals`` and ``detections``
    (of each generation) are the model's own numbers by default. ``format`` is "onnx" or "torchvision" (.pth or
    .safetensors; one softmax over all classes). ``generations`` leaves out what later adaptations added;
    ``best_only`` has the graph drop detections that a better one of another generation covers.
    ``masks`` "found" cuts the graph: ``output`` has no masks, and graphs of a few slots in files beside it make those
    of what was found; "all" makes those of every slot in the one graph.
    ``precision`` is "fp32", "fp16" or "int8", written into the graph (see ``precision.conversion.convert`` for
    ``target``, ``calibration``, ``calibrator`` and ``keep``). ``trt``, a precision, builds an engine beside the graph
    (see ``tensorrt.build.build`` for the options from ``compute_capability`` on).
    ``reserve_classes`` leaves room for so many classes, which ``into``, a graph with such room, gives to the model's
    newest ones: only weights differ then. ``triton`` is a Triton model repository to write into.

    The graph is run in onnxruntime on real photos first (those of the folder ``verify``, with AP if it holds an
    annotations.json, or some that come with edgekit); raises EdgekitError, and writes nothing, if its detections
    differ from the model's by more than the precision explains, unless ``no_verify``.
    """
    if format not in SUFFIXES:
        raise EdgekitError(f"--format {format}: unknown", f"give one of: {', '.join(SUFFIXES)}")
    if output.suffix.lower() not in SUFFIXES[format]:
        raise EdgekitError(f"{output}: not a name for this format", f"end it in {' or '.join(SUFFIXES[format])}")
    if input not in (None, *INPUT_TYPES):
        raise EdgekitError(f"--input {input}: unknown", f"give one of: {', '.join(INPUT_TYPES)}")
    started = time.monotonic()
    output = output.absolute()
    if format == "torchvision":
        given = (size, best_only, batch != 1, proposals, detections, precision, trt, reserve_classes, into, triton)
        if any(given) or input or masks != "all":
            raise EdgekitError("--format torchvision: holds weights only", "leave the options of the graph")
        from edgekit.deployment.torchvision_export import write_state
        from edgekit.model.checkpoint import load_model

        module, meta = load_model(model, generations)
        notes = write_state(output, module, meta)
        return _finished(Export(output, format, meta.input_size, "fp32", notes=notes), output, started)
    if trt and precision not in (None, trt):
        raise EdgekitError(f"--trt {trt} --precision {precision}: differ", "an engine has its graph's precision")
    if output.suffix.lower() == ".engine" and not trt:
        raise EdgekitError(f"{output}: is an engine's name", "say its precision: --trt fp16")
    if trt == "int8" and target != "tensorrt":
        raise EdgekitError(f"--trt int8 --target {target}: differ", "leave --target")
    apart = {"--batch": batch > 1, "--trt": bool(trt), "--triton": triton is not None}
    check_masks(masks, apart | {"--reserve-classes": bool(reserve_classes), "--into": into is not None})
    if trt:  # before any long work
        from edgekit.deployment.tensorrt.target import choose_target

        choose_target(compute_capability)
    onnx_file = output.with_suffix(".onnx")
    precision = precision or trt
    shaped = {"--size": size is not None, "--batch": batch != 1, "--proposals": proposals is not None}
    shaped |= {"--detections": detections is not None, "--generations": generations is not None}
    shaped |= {"--best-only": best_only, "--reserve-classes": bool(reserve_classes)}
    path = resolve(model)
    if kind_of(path) == "onnx":
        source = of_graph(path, precision, shaped | {"--into": into is not None})
        if onnx_file == path.absolute() and precision not in (None, source.meta.precision):
            raise EdgekitError(
                f"{output}: its graph would take the place of {model}",
                f"give another name: -o {output.with_stem(f'{output.stem}-{precision}').name}",
            )
    elif into is not None:
        from edgekit.deployment.checkpoint_graph import of_room

        unfit = [name for name, asked in (shaped | {"--precision": precision != trt}).items() if asked]
        if unfit:
            raise EdgekitError("--into: takes the graph as it is", f"leave {', '.join(unfit)}")
        source = of_room(model, into)
        if input not in (None, source.meta.input_type):
            raise EdgekitError(f"--into: {into} takes {source.meta.input_type} images", "leave --input")
        if trt and trt != source.meta.precision:
            raise EdgekitError(f"--trt {trt}: {into} is {source.meta.precision}", f"give --trt {source.meta.precision}")
    else:
        from edgekit.deployment.checkpoint_graph import of_checkpoint

        source = of_checkpoint(
            model, size, batch, proposals, detections, generations, best_only, reserve_classes, track
        )
    graph, meta, notes = source.graph, source.meta, source.notes
    graph_seconds = time.monotonic() - started
    kept: tuple[str, ...] = ()
    if meta.precision != (precision or meta.precision):
        converted = convert(
            graph,
            precision or "fp32",
            input_size=meta.input_size,
            target=target,
            calibration=calibration,
            calibrator=calibrator,
            keep=() if keep == ("none",) else keep,
            table=onnx_file.with_suffix(".calibration.json") if precision == "int8" else None,
            track=track,
        )
        graph, kept, notes = converted.model, converted.kept, converted.notes
        meta = dataclasses.replace(meta, precision=converted.precision)
    meta = dataclasses.replace(meta, parent_sha256=sha256(path), versions=tool_versions())
    meta = dataclasses.replace(meta, input_type=set_input_type(graph, input, meta.input_type))
    with written(onnx_file, graph, meta, masks) as files:
        seen = None if no_verify else verified(files.path, onnx_file, source.reference(meta), verify, track)
    kinds = dict(sorted(Counter(n.op_type for n in files.graph.graph.node).items()))
    result = Export(
        output=onnx_file,
        format=format,
        input_size=meta.input_size,
        precision=meta.precision,
        input_type=meta.input_type,
        nodes=sum(kinds.values()),
        node_kinds=kinds,
        kept=kept,
        mask_files=tuple(onnx_file.with_name(name) for name in files.beside),
        verification=seen,
        graph_seconds=round(graph_seconds, 2),
        notes=notes,
    )
    if trt:
        from edgekit.deployment.tensorrt.build import build
        from edgekit.deployment.tensorrt.refit import can_refit, refit

        engine_file = output.with_suffix(".engine")
        built = into.with_suffix(".engine") if into is not None else engine_file
        if into is not None and not compute_capability and can_refit(built, into):
            engine = refit(built, onnx_file, engine_file)
            result = dataclasses.replace(result, notes=(*notes, f"{built} was refitted, not rebuilt"))
        else:
            engine = build(
                onnx_file,
                engine_file,
                compute_capability=compute_capability,
                workspace_mb=workspace_mb,
                timing_cache=timing_cache,
                refittable=refittable,
                version_compatible=version_compatible,
                hardware_compatible=hardware_compatible,
                track=track,
            )
        result = dataclasses.replace(result, engine=engine)
    if triton is not None:
        from edgekit.deployment.triton import write_repository

        served = result.engine.path if result.engine else onnx_file
        result = dataclasses.replace(result, triton=write_repository(served, triton, graph=onnx_file))
    return _finished(result, onnx_file, started)


def _finished(result: Export, output: Path, started: float) -> Export:
    seconds = round(time.monotonic() - started, 2)
    megabytes = sum(path.stat().st_size for path in (output, *result.mask_files)) / 1e6
    return dataclasses.replace(result, seconds=seconds, megabytes=megabytes)


def verified(path: Path, output: Path, reference: Session, images: Path | None, track: Track) -> Verification:
    """Compare an ONNX file, to be named ``output``, with what it was made from; raises if they differ."""
    annotations = images / "annotations.json" if images is not None else None
    data = annotations if annotations is not None and annotations.exists() else None
    result = compare_forms(reference, OnnxSession(path), images, data, track=track)
    if not result.passed:
        raise EdgekitError(
            f"{output}: the graph's detections differ from those of {reference.runtime}: {result.numbers}",
            "nothing was written; keep more in float32 (--keep), or write it with --no-verify and see where it differs "
            "with `edgekit compare`",
        )
    return result

"""A model to ONNX (a static graph without plugins, compared with what it was before it is written) and to an engine."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

from edgekit.artifacts import kind_of, resolve, tool_versions
from edgekit.deployment import export_options as options
from edgekit.deployment.float_input import set_input_type
from edgekit.deployment.graph_shape import canvases_of
from edgekit.deployment.mask_files import check_cut, check_masks, write
from edgekit.deployment.precision.conversion import check_calibration, convert
from edgekit.deployment.source import of_graph
from edgekit.deployment.staged import staged
from edgekit.deployment.verify import Verification, verified
from edgekit.files import sha256
from edgekit.progress import Track, silent
from edgekit.runtime.engine_file import Engine
from edgekit.runtime.onnx_session import OnnxSession


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
    verification: Verification | None = None  # against what it was made from, PyTorch mostly
    engine: Engine | None = None
    engine_verification: Verification | None = None  # the same, where this machine's GPU runs the engine
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
    base_classes: Path | None = None,
    architecture: str | None = None,
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
    ``base_classes`` (a file of names) and ``architecture`` say what a checkpoint of others does not say of itself.
    ``masks`` "found" cuts the graph: ``output`` has no masks, and graphs of a few slots in files beside it make those
    of what was found; "all" makes those of every slot in the one graph.
    ``precision`` is "fp32", "fp16" or "int8", written into the graph (see ``precision.conversion.convert`` for
    ``target``, ``calibration``, ``calibrator`` and ``keep``). ``trt``, a precision, builds an engine beside the graph
    (see ``tensorrt.build.build`` for the options from ``compute_capability`` on).
    ``reserve_classes`` leaves room for so many classes, which ``into``, a graph with such room, gives to the model's
    newest ones: only weights differ then. ``triton`` is a Triton model repository to write into.

    The graph is run in onnxruntime on real photos first (those of the folder ``verify``, with AP if it holds an
    annotations.json, or some that come with edgekit), and the engine on this machine's GPU, where it is for that one;
    raises EdgekitError if detections differ from the model's by more than the precision explains, unless ``no_verify``.
    Whatever fails, nothing is written: all files take their places at the end.
    """
    started = time.monotonic()
    options.check_form(format, output, trt, input)
    output = output.absolute()
    onnx_file, path = output.with_suffix(".onnx"), resolve(model)
    builder: dict[str, Any] = {
        "compute_capability": compute_capability,
        "workspace_mb": workspace_mb,
        "timing_cache": timing_cache,
        "refittable": refittable,
        "version_compatible": version_compatible,
        "hardware_compatible": hardware_compatible,
    }
    # Which options were given, by what they are about.
    building = {f"--{name.replace('_', '-')}": value not in (None, (), False) for name, value in builder.items()}
    shaping = {"--size": size is not None, "--batch": batch != 1, "--proposals": proposals is not None}
    shaping |= {"--detections": detections is not None, "--best-only": best_only}
    shaping |= {"--reserve-classes": reserve_classes != 0}
    reading = {"--generations": generations is not None, "--base-classes": base_classes is not None}
    reading |= {"--architecture": architecture is not None}
    converting = {"--target": target != "tensorrt", "--calibration": calibration is not None}
    converting |= {"--calibrator": calibrator != "percentile", "--keep": keep != ("auto",)}
    if format == "torchvision":
        others = {"--masks": masks != "all", "--precision": precision is not None, "--trt": trt is not None}
        others |= {"--into": into is not None, "--triton": triton is not None, "--verify": verify is not None}
        others |= {"--input": input is not None}
        options.check_weights_only(shaping | converting | building | others)
        return _state(model, output, generations, base_classes, architecture, started)
    options.check_precision(precision, trt, target, calibrator)
    if into is not None:
        options.check_into(into, onnx_file, reading | shaping | {"--precision": precision not in (None, trt)})
    precision, keep = precision or trt, () if keep == ("none",) else keep
    options.check_used(precision or "fp32", converting)
    whole = {"--batch": batch > 1, "--trt": trt is not None, "--triton": triton is not None}
    check_masks(masks, whole | {"--reserve-classes": reserve_classes != 0, "--into": into is not None})
    device = options.check_engine(trt, batch, triton, builder, building)
    options.check_folders(verify, triton, output.stem)
    with staged(onnx_file) as folder:
        if kind_of(path) == "onnx":
            source = of_graph(path, precision, reading | shaping | {"--into": into is not None})
            options.check_place(onnx_file, path, precision or source.meta.precision, source.meta)
        elif into is not None:
            from edgekit.deployment.checkpoint_graph import of_room

            source = of_room(model, into)
            options.check_room(into, trt, input, source.meta)
        else:
            from edgekit.deployment.checkpoint_graph import of_checkpoint

            if precision in ("fp16", "int8"):
                check_calibration(calibration, precision, keep)
            shape = (size, batch, proposals, detections)
            reading_as = (base_classes, architecture)
            source = of_checkpoint(model, *shape, generations, best_only, reserve_classes, *reading_as, track)
        graph, meta, notes = source.graph, source.meta, source.notes
        graph_seconds = time.monotonic() - started
        kept: tuple[str, ...] = ()
        if masks == "found":
            check_cut(graph, meta, path)
        if device is not None:
            options.check_one_canvas(canvases_of(graph))
        if precision is None or precision == meta.precision:
            options.check_used("fp32", converting)
        else:
            converted = convert(
                graph,
                precision,
                input_size=meta.input_size,
                target=target,
                calibration=calibration,
                calibrator=calibrator,
                keep=keep,
                table=_table(folder, onnx_file) if precision == "int8" else None,
                track=track,
            )
            graph, kept, notes = converted.model, converted.kept, converted.notes
            meta = dataclasses.replace(meta, precision=converted.precision)
        meta = dataclasses.replace(meta, parent_sha256=sha256(path), versions=tool_versions())
        meta = dataclasses.replace(meta, input_type=set_input_type(graph, input, meta.input_type))
        files = write(folder / onnx_file.name, graph, meta, masks)
        seen = None
        if not no_verify:
            seen = verified(files.path, OnnxSession(files.path), source.reference(meta), verify, track=track)
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
            notes=(*notes, *(f"{doubt}: --verify DIR" for doubt in (seen.doubts if seen else ()))),
        )
        if device is not None:
            from edgekit.deployment.engine_export import make_engine

            reference = None if no_verify else source.reference
            made = make_engine(files.path, into, builder, device, reference, verify, track)
            engine = dataclasses.replace(made.engine, path=onnx_file.with_suffix(".engine"))
            told = {"engine_verification": made.verification, "notes": (*result.notes, *made.notes)}
            result = dataclasses.replace(result, engine=engine, **told)  # type: ignore[arg-type]
        if triton is not None:
            from edgekit.deployment.triton import write_repository

            served = folder / (result.engine.path.name if result.engine else onnx_file.name)
            result = dataclasses.replace(result, triton=write_repository(served, triton, graph=files.path))
    return _finished(result, started)


def _state(
    model: str | Path,
    output: Path,
    generations: int | None,
    base_classes: Path | None,
    architecture: str | None,
    started: float,
) -> Export:
    """A model as torchvision's state dict; see ``export``."""
    from edgekit.deployment.torchvision_export import write_state
    from edgekit.model.checkpoint import load_model

    module, meta = load_model(model, generations, base_classes, architecture)
    notes = write_state(output, module, meta)
    return _finished(Export(output, "torchvision", meta.input_size, "fp32", notes=notes), started)


def _table(folder: Path, onnx_file: Path) -> Path:
    """Where to write a calibration table in ``folder``: the one that an earlier export left is there to be reused."""
    earlier = onnx_file.with_suffix(".calibration.json")
    table = folder / earlier.name
    if earlier.is_file():
        shutil.copyfile(earlier, table)
    return table


def _finished(result: Export, started: float) -> Export:
    seconds = round(time.monotonic() - started, 2)
    megabytes = sum(path.stat().st_size for path in (result.output, *result.mask_files)) / 1e6
    return dataclasses.replace(result, seconds=seconds, megabytes=megabytes)

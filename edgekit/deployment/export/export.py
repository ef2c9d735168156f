"""A model to ONNX (a static graph without plugins, compared with what it was before it is written) and to an engine."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.artifacts.graph_shapes import canvases_of
from edgekit.artifacts.metadata import ModelMeta, tool_versions
from edgekit.artifacts.model_names import kind_of
from edgekit.artifacts.outputs import check_outputs, made_here
from edgekit.comparison.comparison_photos import Photos, photos_in
from edgekit.comparison.verification import Verification, verified
from edgekit.deployment.assembly.mask_files import check_cut, remove_unused, write
from edgekit.deployment.edits.float_input import set_input_type
from edgekit.deployment.edits.int32_labels import set_label_type
from edgekit.deployment.edits.winograd import uses_winograd
from edgekit.deployment.export.request import (
    Building,
    Converting,
    Reading,
    Request,
    Shaping,
    check_form,
    check_one_canvas,
    check_used,
)
from edgekit.deployment.export.starting_graph import Source, of_graph
from edgekit.deployment.export.triton import fill
from edgekit.deployment.precision.calibration import table_of
from edgekit.deployment.precision.conversion import check_calibration, convert, judging_photos, photos_meant
from edgekit.deployment.precision.multiply_adds import eight_bit_share
from edgekit.deployment.tensorrt.target import Target
from edgekit.files.whole_files import place, sha256, staged, staging, writing
from edgekit.model.hints import CheckpointHints
from edgekit.progress import Track, silent
from edgekit.runtime.engine_file import SUFFIX, Engine
from edgekit.runtime.onnx_session import OnnxSession

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Export:
    """What was written; all from ``nodes`` to ``engine`` is of an ONNX graph and empty for other formats."""

    output: Path
    format: str
    input_size: tuple[int, int]
    precision: str
    input_type: str = "uint8"
    batch: int = 1  # canvases a run
    nodes: int = 0
    node_kinds: dict[str, int] = field(default_factory=dict)
    kept: tuple[str, ...] = ()  # blocks and layers left in float32
    eight_bit_share: float | None = None  # of the multiply-adds of a run, 0..1; None of a graph that is not int8
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
    labels: str | None = None,
    proposals: int | None = None,
    detections: int | None = None,
    masks: str = "all",
    precision: str | None = None,
    target: str = "tensorrt",
    calibration: Path | None = None,
    keep: tuple[str, ...] = ("auto",),
    trt: str | None = None,
    compute_capability: tuple[str, ...] = (),
    workspace_mb: int | None = None,
    timing_cache: Path | None = None,
    version_compatible: bool = False,
    hardware_compatible: bool = False,
    triton: Path | None = None,
    verify: Path | None = None,
    no_verify: bool = False,
    force: bool = False,
    track: Track = silent,
) -> Export:
    """Write a model as a static ONNX graph, on request as a TensorRT engine too, or as torchvision's state dict.

    ``model`` is a checkpoint or, for another precision, an engine or a Triton repository of it, a graph that this
    function wrote before; that needs no PyTorch.

    ``size`` is the input's (height, width), the model's own by default; ``batch`` how many canvases a run takes;
    ``input`` "uint8" (the default: bytes [N, H, W, 3]) or "float" (float32 [N, 3, H, W], 0 to 255); ``labels``
    is the labels' type, "int64" (the default) or "int32"; ``proposals`` and ``detections``
    (of each generation) are the model's own numbers by default. ``format`` is "onnx" or "torchvision" (.pth or
    .safetensors; one softmax over all classes). ``generations`` leaves out what later adaptations added;
    ``best_only`` has the graph drop detections that a better one of another generation covers.
    ``base_classes`` (a file of names) and ``architecture`` say what a checkpoint of others does not say of itself.
    ``masks`` "found" cuts the graph: ``output`` has no masks, and graphs of a few slots in files beside it make those
    of what was found; "all" makes those of every slot in the one graph.
    ``precision`` is "fp32", "fp16" or "int8", written into the graph (see ``precision.conversion.convert`` for
    ``target``, ``calibration`` and ``keep``). ``target`` "cpu" of a graph in fp32 has its large
    convolutions computed by Winograd's method (``winograd``), which onnxruntime's kernels do not by themselves.
    ``trt``, a precision, builds an engine beside the graph (see ``tensorrt.build.build`` for the options from
    ``compute_capability`` on).
    ``triton`` is a Triton model repository to write into.

    The graph is run in onnxruntime on real photos first (those of the folder ``verify``, with AP if it holds an
    annotations.json, or some of ``calibration``, or those that come with edgekit), and the engine on this machine's
    GPU, where it is for that one;
    raises EdgekitError if detections differ from the model's by more than the precision explains, unless ``no_verify``.
    Whatever fails, nothing is written: all files take their places at the end. None of them may be one that is read;
    ``force`` replaces others that edgekit did not make.
    """
    started = time.monotonic()
    check_form(format, output, trt, input, labels)
    output = output.absolute()
    onnx_file = output.with_suffix(".onnx")
    asked = Request(
        model=model,
        onnx_file=onnx_file,
        reading=Reading(generations, base_classes, architecture),
        shaping=Shaping(size, batch, proposals, detections, best_only),
        converting=Converting(target, calibration, keep),
        building=Building(compute_capability, workspace_mb, timing_cache, version_compatible, hardware_compatible),
        input=input,
        labels=labels,
        masks=masks,
        given_precision=precision,
        trt=trt,
        triton=triton,
        verify=verify,
        no_verify=no_verify,
        force=force,
    )
    if format == "torchvision":
        asked.check_weights_only()
        check_outputs([output], asked.inputs, force)
        return _finished(_state(model, output, asked.reading), started)
    device = asked.check()
    calibrated_on = photos_meant(calibration, track)
    with calibrated_on as calibrated, _repository(asked) as served, staged(*asked.outputs) as folder:
        source = _source(asked, track)
        graph_seconds = round(time.monotonic() - started, 2)
        graph, meta, kept, notes = _converted(asked, source, folder, calibrated, device is not None, track)
        share = eight_bit_share(graph) if meta.precision == "int8" else None
        for_cpu = meta.precision == "fp32" and target == "cpu"
        files = write(folder / onnx_file.name, graph, meta, masks, for_cpu)
        if for_cpu and not uses_winograd(files.graph):
            notes += ("--target cpu: no convolution is large enough to gain by Winograd's method",)
        seen, photos = None, _photos_to_compare_on(verify, calibrated)
        if not no_verify:
            seen = verified(files.path, OnnxSession(files.path), source.reference(meta), photos, track=track)
            notes += tuple(f"{doubt}: --verify DIR" for doubt in seen.doubts)
        kinds = Counter(n.op_type for n in files.graph.graph.node)
        result = Export(
            output=onnx_file,
            format=format,
            input_size=meta.input_size,
            precision=meta.precision,
            input_type=meta.input_type,
            batch=canvases_of(files.graph),
            nodes=kinds.total(),
            node_kinds=dict(sorted(kinds.items())),
            kept=kept,
            eight_bit_share=share,
            mask_files=tuple(onnx_file.with_name(name) for name in files.beside),
            verification=seen,
            graph_seconds=graph_seconds,
            notes=notes,
        )
        if device is not None:
            result = _with_engine(result, asked, files.path, source, device, photos, track)
        if served is not None and triton is not None:
            with writing(triton / onnx_file.stem):
                fill(served, folder / (result.engine.path.name if result.engine else onnx_file.name), files.path)
            result = replace(result, triton=triton / onnx_file.stem)
    remove_unused(onnx_file)
    return _finished(result, started)


def _source(asked: Request, track: Track) -> Source:
    """The float32 graph of a checkpoint, or the graph that there is, and what to compare with."""
    if kind_of(asked.path) == "onnx":
        return of_graph(asked.path, asked.precision, [*asked.reading.given(), *asked.shaping.given()])
    from edgekit.deployment.export.checkpoint_graph import of_checkpoint

    if asked.precision in ("fp16", "int8"):
        check_calibration(asked.converting.calibration, asked.precision, asked.kept)
    return of_checkpoint(asked.model, asked.reading, asked.shaping, track)


def _converted(
    asked: Request, source: Source, folder: Path, calibrated: Path | None, for_engine: bool, track: Track
) -> tuple[onnx.ModelProto, ModelMeta, tuple[str, ...], tuple[str, ...]]:
    """The source's graph in the precision and for the input that were asked for, what it is, what is kept in float32
    and what to know of it. ``calibrated`` is the folder of the calibration's photos, if it has photos; a table is
    written into ``folder``."""
    graph, meta, notes, kept = source.graph, source.meta, tuple[str, ...](), tuple[str, ...]()
    if asked.masks == "found":
        check_cut(graph, meta, asked.path)
    if for_engine:
        check_one_canvas(canvases_of(graph))
    if asked.precision in (None, meta.precision):
        check_used("fp32" if meta.precision == "fp32" else "none", asked.converting)
    else:
        how = asked.converting
        converted = convert(
            graph,
            asked.precision,
            input_size=meta.input_size,
            target=how.target,
            calibration=calibrated or how.calibration,
            keep=asked.kept,
            table=_table(folder, asked.onnx_file) if table_of(asked.onnx_file) in asked.outputs else None,
            track=track,
        )
        graph, kept, notes = converted.model, converted.kept, converted.notes
        meta = replace(meta, precision=converted.precision)
    meta = replace(meta, parent_sha256=sha256(asked.path), versions=tool_versions())
    set_label_type(graph, asked.labels)
    return graph, replace(meta, input_type=set_input_type(graph, asked.input, meta.input_type)), kept, notes


def _photos_to_compare_on(verify: Path | None, calibrated: Path | None) -> Photos:
    """Those of the folder ``verify``, or some that the graph was calibrated on, or those that come with edgekit."""
    if verify is None and calibrated is not None:
        return Photos(tuple(judging_photos(calibrated)), None)
    return photos_in(verify)


def _with_engine(
    result: Export, asked: Request, graph: Path, source: Source, device: Target, photos: Photos, track: Track
) -> Export:
    """The result with the engine of ``graph``, built beside it."""
    from edgekit.deployment.export.engine import make_engine

    reference = None if asked.no_verify else source.reference
    made = make_engine(graph, asked.building, device, reference, photos, track)
    engine = replace(made.engine, path=asked.onnx_file.with_suffix(SUFFIX))
    return replace(result, engine=engine, engine_verification=made.verification, notes=(*result.notes, *made.notes))


def _state(model: str | Path, output: Path, reading: Reading) -> Export:
    """A model as torchvision's state dict; see ``export``."""
    from edgekit.deployment.export.torchvision_state import write_state
    from edgekit.model.checkpoint import load_model

    module, meta = load_model(model, reading.generations, CheckpointHints(reading.base_classes, reading.architecture))
    notes = write_state(output, module, meta)
    return Export(output, "torchvision", meta.input_size, "fp32", notes=notes)


@contextmanager
def _repository(asked: Request) -> Iterator[Path | None]:
    """Where to write what Triton serves; it takes its place as a whole, after the files of the export."""
    if asked.triton is None:
        yield None
        return
    name = asked.onnx_file.stem
    with staging(asked.triton) as folder:
        (folder / name).mkdir()
        yield folder / name
        with writing(asked.triton / name):
            place(folder / name, asked.triton / name)


def _table(folder: Path, onnx_file: Path) -> Path:
    """Where to write a calibration table in ``folder``: the one that an earlier export left is there to be reused."""
    earlier = table_of(onnx_file)
    table = folder / earlier.name
    if made_here(earlier):
        shutil.copyfile(earlier, table)
    return table


def _finished(result: Export, started: float) -> Export:
    seconds = round(time.monotonic() - started, 2)
    megabytes = sum(path.stat().st_size for path in (result.output, *result.mask_files)) / 1e6
    return replace(result, seconds=seconds, megabytes=megabytes)

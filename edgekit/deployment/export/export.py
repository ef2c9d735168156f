"""A model to ONNX (a static graph without plugins), to a TensorRT engine, or to torchvision's state dict.

A graph is compared with the model on photos before it is written, and an engine where this machine's GPU runs it: an
export fails if detections differ by more than the precision explains. Whatever fails, nothing is written: all files
take their places at the end. None of them may be one that is read; an engine may lie beside its graph, which stays.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.model_names import kind_of
from edgekit.artifacts.pack_files import read_packs
from edgekit.comparison.comparison_photos import Photos, photos_in
from edgekit.comparison.verification import verified
from edgekit.deployment.export.export_result import Export
from edgekit.deployment.export.finished_graph import check_untouched, described, write_graph
from edgekit.deployment.export.parts_export import write_in_parts
from edgekit.deployment.export.request import ExportRequest, check_request, given
from edgekit.deployment.export.starting_graph import StartingGraph, of_graph, open_finished
from edgekit.deployment.export.triton import fill_repository
from edgekit.deployment.precision.conversion import Conversion, check_calibration, judging_photos, photos_meant
from edgekit.deployment.tensorrt.build_options import EngineOptions
from edgekit.deployment.tensorrt.target import Target
from edgekit.files.whole_files import place, staged, staging, writing
from edgekit.graphs.appending import with_packs_appended
from edgekit.model.hints import CheckpointHints
from edgekit.model.modules import as_file
from edgekit.progress import Track, silent

if TYPE_CHECKING:
    from torchvision.models.detection import FasterRCNN


def export(
    model: str | Path | FasterRCNN,
    output: str | Path,
    *,
    format: str = "onnx",
    hints: CheckpointHints = CheckpointHints(),
    shape: GraphShape = GraphShape(),
    images: str | Path | None = None,
    conversion: Conversion = Conversion(),
    engine: EngineOptions = EngineOptions(),
    input: str | None = None,
    labels: str | None = None,
    packs: Sequence[str | Path] = (),
    triton: Path | None = None,
    verify: Path | bool = True,
    force: bool = False,
    track: Track = silent,
) -> Export:
    """Write a model as a static ONNX graph, on request as a TensorRT engine too, or as torchvision's state dict.

    ``model`` is a checkpoint, a torchvision detector that the program has constructed (see ``save``) or, to be
    converted, built or served without PyTorch, a graph that this function wrote; ``packs`` are added to it. ``images``
    is a folder of photos which the input's size is to suit, where ``shape`` gives none (without both, it is the one
    that the packs were trained with, or the model's own). ``format``
    is "onnx" or "torchvision" (.pth, .safetensors: one softmax over all classes). ``input`` is "uint8" ([N, H, W, 3],
    the default) or "float" (float32 [N, 3, H, W], 0 to 255), ``labels`` "int64" (the default) or "int32". An ``output``
    without a suffix is a folder: the model in parts. ``triton`` is a model repository to write into. ``verify`` is a
    folder of photos to compare on (with AP, if it holds an annotations.json); True takes some of the calibration or
    those of edgekit, False none. ``force`` replaces files that edgekit did not make.
    """
    started = time.monotonic()
    with as_file(model, hints) as (file, left):
        request = ExportRequest(
            model=file,
            output=Path(output).absolute(),
            format=format,
            hints=left,
            shape=shape,
            images=Path(images) if images is not None else None,
            conversion=conversion,
            engine=engine,
            input=input,
            labels=labels,
            packs=tuple(Path(pack) for pack in packs),
            triton=triton,
            verify=verify,
            force=force,
        )
        result = _write(request, track)
    return replace(result, seconds=round(time.monotonic() - started, 2), megabytes=_megabytes(result.output))


def _write(request: ExportRequest, track: Track) -> Export:
    """Write what is asked for."""
    device = check_request(request)
    if request.format == "torchvision":
        return _state_dict(request)
    request, notes = _suited(request)
    if request.in_parts:
        result = write_in_parts(request, device, photos_to_compare_on(request), track)
    else:
        result = _graph(request, device, track)
    return replace(result, notes=(*notes, *result.notes))


def _suited(request: ExportRequest) -> tuple[ExportRequest, tuple[str, ...]]:
    """The request with the input size that suits its photos, if it has some, and what to say of it."""
    if request.images is None:
        return request, ()
    if kind_of(request.path) == "onnx":
        open_finished(request.path, ["--images"])
    from edgekit.deployment.export.checkpoint_graph import suited_input_size

    choice = suited_input_size(request.model, request.hints, request.images)
    return replace(request, shape=replace(request.shape, size=choice.size)), choice.notes


def _megabytes(output: Path) -> float:
    """The size of a file or of all files in a folder."""
    return sum(path.stat().st_size for path in (output, *output.rglob("*")) if path.is_file()) / 1e6


def _state_dict(request: ExportRequest) -> Export:
    from edgekit.deployment.export.torchvision_state import write_state
    from edgekit.model.checkpoint import load_model

    module, meta = load_model(request.model, request.hints, packs=read_packs(request.packs))
    notes = write_state(request.output, module, meta, request.model)
    return Export(request.output, request.format, meta.input_size, "fp32", assumed=meta.settings.assumed(), notes=notes)


def _graph(request: ExportRequest, device: Target | None, track: Track) -> Export:
    """Write a graph, and for ``device`` its engine."""
    started = time.monotonic()
    with _repository(request) as served, staged(*request.outputs) as folder:
        start = _starting_graph(request, track)
        graph_seconds = round(time.monotonic() - started, 2)
        photos = photos_to_compare_on(request)
        if request.engine_only:
            check_untouched(request, start.meta)
            file, result = request.path, described(request, start.graph, start.meta)
        else:
            file, result = write_graph(request, start, folder, photos, track)
        if device is not None:
            result = _with_engine(request, result, start, file, folder, device, photos, track)
        if served is not None and request.repository is not None:
            with writing(request.repository):
                fill_repository(served, folder / request.engine_file.name if device else file, file)
    return replace(result, graph_seconds=graph_seconds, triton=request.repository)


def _starting_graph(request: ExportRequest, track: Track) -> StartingGraph:
    """The float32 graph of a checkpoint, or the graph that there is, and what to compare with."""
    packs = read_packs(request.packs)
    if kind_of(request.path) == "onnx":
        file = open_finished(request.path, given(request.hints, request.shape))
        return of_graph(with_packs_appended(file, packs), request.precision)
    from edgekit.deployment.export.checkpoint_graph import of_checkpoint

    if request.precision in ("fp16", "int8"):
        check_calibration(replace(request.conversion, precision=request.precision))
    return of_checkpoint(request.model, request.hints, packs, request.shape, track)


def photos_to_compare_on(request: ExportRequest) -> Photos | None:
    """The user's, or some that the graph was calibrated on, or those that come with edgekit; None: no comparison."""
    calibrated = photos_meant(request.conversion.calibration)
    if request.verify is False:
        return None
    if request.photos is None and calibrated is not None:
        return Photos(tuple(judging_photos(calibrated)), None)
    return photos_in(request.photos)


def _with_engine(
    request: ExportRequest,
    result: Export,
    start: StartingGraph,
    graph: Path,
    folder: Path,
    device: Target,
    photos: Photos | None,
    track: Track,
) -> Export:
    """The result with the engine of ``graph``, which is built into ``folder`` and compared where it runs here."""
    from edgekit.deployment.tensorrt.build import build
    from edgekit.runtime.engine_session import EngineSession

    output = folder / request.engine_file.name
    engine = build(graph, output, request.engine, track)
    result = replace(result, engine=replace(engine, path=request.engine_file))
    if photos is None:
        return result
    if device.gpu is None or device.gpu.compute_capability not in engine.compute_capabilities:
        note = "the engine was not run: it is for another GPU than this machine has"
        return replace(result, notes=(*result.notes, note))
    with EngineSession.open(output) as session:  # after the build, which needs the memory
        seen = verified(output, session, start.reference(engine.meta), photos, track)
    return replace(result, engine_verification=seen)


@contextmanager
def _repository(request: ExportRequest) -> Iterator[Path | None]:
    """Where to write what Triton serves; it takes its place as a whole, after the files of the export."""
    repository = request.repository
    if repository is None:
        yield None
        return
    with staging(repository.parent) as folder:
        made = folder / repository.name
        made.mkdir()
        yield made
        with writing(repository):
            place(made, repository)

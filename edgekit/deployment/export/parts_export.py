"""A model in parts: a folder with the base model's graphs, into which packs are installed."""

from __future__ import annotations

from dataclasses import replace

from edgekit.artifacts.manifest import is_parts, read_manifest
from edgekit.artifacts.model_names import kind_of
from edgekit.artifacts.pack_files import Pack, check_fits, read_packs
from edgekit.comparison.comparison_photos import Photos
from edgekit.comparison.verification import verified
from edgekit.deployment.export.export_result import Export
from edgekit.deployment.export.finished_graph import converted_graph, described, for_cpu, with_verification
from edgekit.deployment.export.request import ExportRequest, given
from edgekit.deployment.export.starting_graph import StartingGraph, of_graph, open_finished
from edgekit.deployment.folder.engines import with_engines
from edgekit.deployment.folder.folder_files import check_parts, write_base
from edgekit.deployment.folder.installing import with_packs_installed
from edgekit.deployment.precision.conversion import check_calibration
from edgekit.deployment.precision.multiply_adds import eight_bit_share
from edgekit.deployment.tensorrt.target import Target
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import place, staging, writing
from edgekit.graphs.appending import with_packs_appended
from edgekit.graphs.parts import predictors_in
from edgekit.progress import Track
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.parts_session import PartsSession

ENGINES_NOT_RUN = "the graphs were compared, not the engines: run them with edgekit predict or edgekit eval"


def write_in_parts(request: ExportRequest, device: Target | None, photos: Photos | None, track: Track) -> Export:
    """Write the folder that was asked for, whole or not at all, compared with what it was made from.

    For ``device`` it has an engine of each graph, too.
    """
    packs = read_packs(request.packs)
    with staging(request.output.parent) as temporary, writing(request.output):
        folder = temporary / request.output.name
        folder.mkdir()
        start, built_in = _base(request, packs, track)
        _check_installed(request, [*built_in, *packs])
        for pack in packs:  # before any long work
            check_fits(pack, replace(start.meta, precision=request.precision or "fp32"), request.path)
        predictors = predictors_in(start.graph)
        converted, meta = converted_graph(request, start, folder, track)
        share = eight_bit_share(converted.model) if meta.precision == "int8" else None
        result = replace(described(request, converted.model, meta), kept=converted.kept, eight_bit_share=share)
        overlaps = request.shape.overlaps or "keep"
        manifest = write_base(folder, converted.model, meta, predictors, overlaps, for_cpu(request, meta))
        if device is not None:
            manifest = with_engines(folder, manifest, request.engine, track)
        manifest, _ = with_packs_installed(folder, manifest, [*built_in, *packs], force=True, track=track)
        names = tuple(pack.name for pack in manifest.packs)
        result = replace(result, output=request.output, packs=names, notes=converted.notes)
        if photos is not None:
            session = PartsSession(folder, provider="" if device is None else "cpu")
            seen = verified(request.output, session, start.reference(session.meta), photos, track=track)
            result = with_verification(result, seen)
        if device is not None:
            result = replace(result, notes=(*result.notes, ENGINES_NOT_RUN))
        place(folder, request.output)
    return result


def _check_installed(request: ExportRequest, packs: list[Pack]) -> None:
    """Raise EdgekitError if the folder to replace has a pack installed that is not among ``packs``."""
    if request.force or not is_parts(request.output):
        return
    known = {pack.sha256 for pack in packs}
    for installed in read_manifest(request.output).packs:
        if installed.sha256 not in known:
            raise EdgekitError(
                f"{request.output}: the pack {installed.name} is installed there", "give it with --pack, or --force"
            )


def _base(request: ExportRequest, packs: list[Pack], track: Track) -> tuple[StartingGraph, list[Pack]]:
    """The base model's float32 graph, which is compared with its packs installed, and the packs built into it."""
    shape = replace(request.shape, overlaps=None)
    if kind_of(request.path) == "onnx":
        file = open_finished(request.path, given(request.hints, shape))
        start = of_graph(file, request.precision)
        check_parts(file)
        whole = with_packs_appended(file, packs, force=True)
        return replace(start, reference=lambda _: OnnxSession(whole)), []
    from edgekit.deployment.assembly.assembling import assemble_base
    from edgekit.deployment.export.checkpoint_graph import check_numbers, reference

    check_numbers(shape)
    if request.precision in ("fp16", "int8"):
        check_calibration(replace(request.conversion, precision=request.precision))
    graph, meta, built_in = assemble_base(request.model, shape, request.hints, packs, track)
    return StartingGraph(graph, meta, reference(request.model, request.hints, packs, shape)), built_in

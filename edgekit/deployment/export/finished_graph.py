"""The graph that an export writes: in its precision, with its types, compared with what it was made from."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import onnx

from edgekit.artifacts.graph_shapes import canvases_of
from edgekit.artifacts.metadata import ModelMeta, tool_versions
from edgekit.artifacts.onnx_files import write_onnx
from edgekit.artifacts.outputs import made_here
from edgekit.comparison.verification import Photos, Verification, verified
from edgekit.deployment.edits.float_input import set_input_type
from edgekit.deployment.edits.for_cpu import rewrite_for_cpu
from edgekit.deployment.edits.int32_labels import set_label_type
from edgekit.deployment.edits.winograd import uses_winograd
from edgekit.deployment.export.export_result import Export
from edgekit.deployment.export.request import ExportRequest, check_one_canvas, check_used
from edgekit.deployment.export.starting_graph import StartingGraph
from edgekit.deployment.precision.calibration import table_of
from edgekit.deployment.precision.conversion import Converted, convert
from edgekit.deployment.precision.multiply_adds import eight_bit_share
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from edgekit.progress import Track
from edgekit.runtime.onnx_session import OnnxSession

TWICE = "twice, as the base model does and as it was refined: export the checkpoint with --overlaps one"
NO_GAIN = "--target cpu: no convolution is large enough to gain by Winograd's method"


def check_untouched(request: ExportRequest, meta: ModelMeta) -> None:
    """Raise where an engine beside the graph ``request.model`` would need another graph than that."""
    if request.precision != meta.precision or request.input or request.labels:
        raise EdgekitError(
            f"{request.onnx_file}: is the input, and a graph is never written onto itself",
            f"give another name than {request.engine_file.name}, or omit what changes the graph",
        )
    check_used("none", request.conversion)


def write_graph(
    request: ExportRequest, start: StartingGraph, folder: Path, photos: Photos | None, track: Track
) -> tuple[Path, Export]:
    """Write the starting graph as it was asked for into ``folder`` and compare it; the file and what it is."""
    converted, meta = converted_graph(request, start, folder, track)
    graph, path, notes = converted.model, folder / request.onnx_file.name, converted.notes
    share = eight_bit_share(graph) if meta.precision == "int8" else None
    if for_cpu(request, meta):
        rewrite_for_cpu(graph)
        notes += () if uses_winograd(graph) else (NO_GAIN,)
    if meta.refined_classes and meta.overlaps == "keep":
        notes += (f"finds {', '.join(meta.refined_classes)} {TWICE}",)
    write_onnx(path, graph, meta)
    result = replace(described(request, graph, meta), kept=converted.kept, eight_bit_share=share, notes=notes)
    if photos is not None:
        seen = verified(path, OnnxSession(path), start.reference(meta), photos, track=track)
        result = with_verification(result, seen)
    return path, result


def with_verification(result: Export, seen: Verification) -> Export:
    """The result with what a comparison saw."""
    notes = (*result.notes, *(f"{doubt}: --verify DIR" for doubt in seen.doubts))
    return replace(result, verification=seen, notes=notes)


def for_cpu(request: ExportRequest, meta: ModelMeta) -> bool:
    """Whether a float32 graph is to be rewritten for onnxruntime's CPU kernels."""
    return meta.precision == "fp32" and request.conversion.target == "cpu"


def converted_graph(
    request: ExportRequest, start: StartingGraph, folder: Path, track: Track
) -> tuple[Converted, ModelMeta]:
    """The starting graph in the precision and with the types that were asked for; a table is written to ``folder``."""
    meta, converted = start.meta, Converted(start.graph)
    if request.engine.trt:
        check_one_canvas(canvases_of(start.graph))
    if request.precision in (None, meta.precision):
        check_used("fp32" if meta.precision == "fp32" else "none", request.conversion)
    else:
        conversion = replace(request.conversion, precision=request.precision)
        table = _table(folder, request.onnx_file) if table_of(request.onnx_file) in request.outputs else None
        converted = convert(start.graph, conversion, meta.input_size, table, track)
        meta = replace(meta, precision=str(request.precision))
    meta = replace(meta, parent_sha256=sha256(request.path), versions=tool_versions())
    set_label_type(converted.model, request.labels)
    return converted, replace(meta, input_type=set_input_type(converted.model, request.input, meta.input_type))


def described(request: ExportRequest, graph: onnx.ModelProto, meta: ModelMeta) -> Export:
    """What a graph says of itself."""
    kinds = Counter(n.op_type for n in graph.graph.node)
    return Export(
        output=request.onnx_file,
        format=request.format,
        input_size=meta.input_size,
        precision=meta.precision,
        input_type=meta.input_type,
        assumed=meta.settings.assumed(),
        batch=canvases_of(graph),
        packs=tuple(record.name for record in meta.packs),
        nodes=kinds.total(),
        node_kinds=dict(sorted(kinds.items())),
    )


def _table(folder: Path, onnx_file: Path) -> Path:
    """Where to write a calibration table in ``folder``: the one that an earlier export left is there to be reused."""
    earlier = table_of(onnx_file)
    table = folder / earlier.name
    if made_here(earlier):
        shutil.copyfile(earlier, table)
    return table

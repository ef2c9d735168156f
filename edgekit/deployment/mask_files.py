"""A graph whose masks are made by graphs of their own, as files: the detector, the mask graphs, their weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.artifacts import ModelMeta, write_onnx
from edgekit.deployment.cpu import rewrite_for_cpu
from edgekit.deployment.graph_shape import canvases_of
from edgekit.deployment.int32_labels import has_int32_labels
from edgekit.deployment.mask_graphs import cut_masks
from edgekit.deployment.winograd import uses_winograd
from edgekit.errors import EdgekitError
from edgekit.files import sha256, writing

if TYPE_CHECKING:
    import onnx

MASKS = ("all", "found")
SHARED_BYTES = 1024  # weights of at least this size are in the shared file
ALIGNMENT = 4096  # of a tensor in it, so that it can be mapped into memory


@dataclass(frozen=True)
class Written:
    """A graph as written: at ``path``, which holds ``graph``, with files ``beside`` it that make its masks."""

    path: Path
    graph: onnx.ModelProto
    beside: tuple[str, ...] = ()


def check_cut(graph: onnx.ModelProto, meta: ModelMeta, path: Path) -> None:
    """Raise if the masks of a graph, exported from or read at ``path``, cannot be made by graphs of their own."""
    if all(o.name != "masks" for o in graph.graph.output):
        raise EdgekitError(f"--masks found: {meta.architecture} makes no masks", "leave it")
    if meta.reserved:
        raise EdgekitError(
            f"--masks found: {path} has room for {meta.reserved} classes", "leave it, or fill the room first"
        )
    if uses_winograd(graph):
        raise EdgekitError(
            f"--masks found: {path} is made for CPUs already", "give the graph it was made from, and --target cpu here"
        )
    if has_int32_labels(graph):
        raise EdgekitError(
            f"--masks found: {path} has int32 labels", "give the graph it was made from, or omit --masks"
        )
    if canvases_of(graph) > 1:
        raise EdgekitError(f"--masks found: {path} takes {canvases_of(graph)} canvases a run", "give a graph for one")


def write(output: Path, graph: onnx.ModelProto, meta: ModelMeta, masks: str, for_cpu: bool = False) -> Written:
    """Write a graph, with ``masks`` "found" cut in parts: files beside ``output``.

    ``for_cpu`` rewrites all of them for onnxruntime's CPU kernels, where that gains.
    """
    if masks == "all":
        if for_cpu:
            rewrite_for_cpu(graph)
        write_onnx(output, graph, meta)
        return Written(output, graph)
    with writing(output):
        return write_parts(output, graph, meta, for_cpu)


def write_parts(output: Path, graph: onnx.ModelProto, meta: ModelMeta, for_cpu: bool = False) -> Written:
    """Write a graph's detector to ``output``, its mask graphs and their weights beside it."""
    import onnx

    cut = cut_masks(graph, meta)
    if for_cpu:
        for part in (cut.detector, *cut.masks.values()):
            rewrite_for_cpu(part)
    weights = output.with_name(f"{output.stem}.masks.weights")
    _share_weights(list(cut.masks.values()), weights)
    about: dict[str, dict[str, Any]] = {weights.name: {"sha256": sha256(weights)}}
    for (generation, slots), part in cut.masks.items():
        path = output.with_name(f"{output.stem}.masks-{generation}-{slots}.onnx")
        onnx.save(part, path)
        about[path.name] = {"sha256": sha256(path), "generation": generation, "slots": slots}
    write_onnx(output, cut.detector, replace(meta, mask_files=about))
    return Written(output, cut.detector, tuple(about))


def _share_weights(parts: list[onnx.ModelProto], path: Path) -> None:
    """Move the large tensors of several graphs to one file (ONNX's external data), equal ones once."""
    from onnx.external_data_helper import set_external_data

    offsets: dict[str, int] = {}
    with path.open("wb") as file:
        for part in parts:
            for tensor in part.graph.initializer:
                data = tensor.raw_data
                if len(data) < SHARED_BYTES:
                    continue
                digest = hashlib.sha256(data).hexdigest()
                if digest not in offsets:
                    file.write(b"\0" * (-file.tell() % ALIGNMENT))
                    offsets[digest] = file.tell()
                    file.write(data)
                set_external_data(tensor, path.name, offsets[digest], len(data))
                tensor.ClearField("raw_data")

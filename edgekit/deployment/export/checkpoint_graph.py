"""The float32 graph of a checkpoint, in any shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.input_sizes import CanvasChoice, check_size, choose_input_size
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.pack_files import Pack
from edgekit.data.annotations.photo_files import photo_size
from edgekit.data.images import list_images
from edgekit.deployment.assembly.assembling import assemble
from edgekit.deployment.assembly.base_graph import to_onnx
from edgekit.deployment.export.starting_graph import StartingGraph
from edgekit.errors import EdgekitError
from edgekit.model.architectures import limit
from edgekit.model.checkpoint import load_model, read_checkpoint
from edgekit.model.hints import CheckpointHints
from edgekit.progress import Track
from edgekit.runtime.selection import selected
from edgekit.runtime.session import Session
from edgekit.runtime.torch_session import TorchSession
from edgekit.static.detector import MOST_CANDIDATES

MOST_BATCH, MOST_SAMPLING_CELLS = 64, 256
TOP_K = 3840  # the most that TensorRT's TopK takes


def of_checkpoint(
    model: str | Path, hints: CheckpointHints, packs: Sequence[Pack], shape: GraphShape, track: Track
) -> StartingGraph:
    """The graph of a checkpoint with packs, to be compared with PyTorch.

    Where the shape allows it, it is put together from the base model's graph and the generations.
    """
    check_numbers(shape)
    if shape.batch == 1 and shape.overlaps != "one":
        graph, meta = assemble(model, replace(shape, overlaps=None), hints, packs, track)
    else:
        module, meta = load_model(model, hints, shape.size, packs)
        meta = replace(meta, overlaps=shape.overlaps or "keep")
        for _ in track(range(1), "building the static graph"):
            graph = to_onnx(module, replace(shape, size=check_size(meta.input_size)), meta.class_labels)
    return StartingGraph(graph, meta, reference(model, hints, packs, shape))


def suited_input_size(model: str | Path, hints: CheckpointHints, images: Path) -> CanvasChoice:
    """The input size of a checkpoint that suits the photos of a folder, by their headers."""
    _, meta = read_checkpoint(model, hints)
    return choose_input_size(meta.settings, [photo_size(path) for path in list_images(images)])


def reference(
    model: str | Path, hints: CheckpointHints, packs: Sequence[Pack], shape: GraphShape
) -> Callable[[ModelMeta], Session]:
    """What opens PyTorch's session of a model with packs, limited as the graph is."""

    def opened(meta: ModelMeta) -> Session:
        module, _ = load_model(model, hints, meta.input_size, packs, force=True)  # what fits was decided before
        fp32 = replace(meta, precision="fp32", overlaps="keep")
        limit(module.base, shape.proposals, shape.detections)
        return selected(TorchSession(module, fp32), meta.overlaps)

    return opened


def check_numbers(shape: GraphShape) -> None:
    """Raise for numbers that a graph cannot have."""
    limits = {
        "batch": (1, MOST_BATCH, ""),
        "proposals": (1, TOP_K, ", the most TensorRT's TopK takes"),
        "detections": (1, MOST_CANDIDATES, ", the most boxes that enter a generation's NMS"),
        "sampling_cells": (4, MOST_SAMPLING_CELLS, ", four of which one sample reads"),
    }
    for name, (least, most, why) in limits.items():
        value = getattr(shape, name)
        if value is not None and not least <= value <= most:
            raise EdgekitError(f"--{name.replace('_', '-')} {value}: out of range", f"give {least} to {most}{why}")

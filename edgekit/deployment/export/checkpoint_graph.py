"""The float32 graph of a checkpoint, in any shape."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from edgekit.artifacts.metadata import ModelMeta
from edgekit.deployment.assembly.base_graph import assemble, to_onnx
from edgekit.deployment.export.request import Reading, Shaping
from edgekit.deployment.export.starting_graph import Source
from edgekit.errors import EdgekitError
from edgekit.model.architectures import check_size, limit
from edgekit.model.checkpoint import load_model, read_checkpoint
from edgekit.model.hints import CheckpointHints
from edgekit.progress import Track
from edgekit.runtime.selection import Selected
from edgekit.runtime.session import Session
from edgekit.runtime.torch_session import TorchSession
from edgekit.static.detector import CANDIDATES, Shape

MOST_BATCH = 64
TOP_K = 3840  # the most that TensorRT's TopK takes


def of_checkpoint(model: str | Path, reading: Reading, asked: Shaping, track: Track) -> Source:
    """A checkpoint's graph, to be compared with PyTorch.

    It is put together from the base model's and the generations where the shape allows it.
    """
    hints = CheckpointHints(reading.base_classes, reading.architecture)
    size = check_size(asked.size or read_checkpoint(model, hints)[1].input_size)
    shape = Shape(size, asked.batch, asked.proposals, asked.detections)
    check(shape)
    reference = _reference(model, asked.proposals, asked.detections, hints)
    if asked.batch == 1 and not asked.best_only:
        graph, meta = assemble(model, shape, reading.generations, hints, track)
        return Source(graph, meta, reference)
    module, meta = load_model(model, reading.generations, hints, size)
    for _ in track(range(1), "building the static graph"):
        graph = to_onnx(module, shape, asked.best_only)
    return Source(graph, dataclasses.replace(meta, best_only=asked.best_only), reference)


def _reference(
    model: str | Path,
    proposals: int | None,
    detections: int | None,
    hints: CheckpointHints,
) -> Callable[[ModelMeta], Session]:
    def opened(meta: ModelMeta) -> Session:
        added = len(meta.generations) - 1 if meta.scoring == "exact" else None
        module, _ = load_model(model, added, hints, meta.input_size)
        fp32 = dataclasses.replace(meta, precision="fp32")
        limit(module.base, proposals, detections)
        return Selected(TorchSession(module, fp32), fp32, meta.best_only)

    return opened


def check(shape: Shape) -> None:
    """Raise for numbers that a graph cannot have."""
    if not 1 <= shape.batch <= MOST_BATCH:
        raise EdgekitError(f"--batch {shape.batch}: out of range", f"give 1 to {MOST_BATCH}")
    if shape.proposals is not None and not 1 <= shape.proposals <= TOP_K:
        hint = f"give 1 to {TOP_K}, the most TensorRT's TopK takes"
        raise EdgekitError(f"--proposals {shape.proposals}: out of range", hint)
    if shape.detections is not None and not 1 <= shape.detections <= CANDIDATES:
        hint = f"give 1 to {CANDIDATES}, the most boxes that enter a generation's NMS"
        raise EdgekitError(f"--detections {shape.detections}: out of range", hint)

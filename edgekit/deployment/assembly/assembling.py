"""A checkpoint's graph, put together: the base model's is exported once and kept, later generations are appended."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import onnx

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.model_names import resolve
from edgekit.artifacts.safetensors_files import tensors_sha256
from edgekit.deployment.assembly.appending import append
from edgekit.deployment.assembly.base_graph import to_onnx
from edgekit.deployment.assembly.graph_cache import cached_graph, has_graph
from edgekit.files.code_digest import entry_key
from edgekit.model.architectures import check_size
from edgekit.model.checkpoint import load_model, read_checkpoint, split_generations
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.hints import CheckpointHints
from edgekit.model.predictors import Generation
from edgekit.model.sources import Weights
from edgekit.progress import Track, silent


def assemble(
    model: str | Path,
    shape: GraphShape,
    hints: CheckpointHints = CheckpointHints(),
    track: Track = silent,
) -> tuple[onnx.ModelProto, ModelMeta]:
    """The static graph of a checkpoint for one image per run, and what the model is.

    The base model's graph comes from the cache if it was ever exported at this shape; then nothing is exported and no
    module is made.
    """
    return _assembled(_checkpoint(model, *read_checkpoint(model, hints), hints), shape, track)


def prepare_export(model: Path, weights: Weights, meta: ModelMeta, track: Track = silent) -> None:
    """Build what an adapted checkpoint's newest generation adds to its graph, which takes seconds, so that its export
    finds it; only where the base model was exported before at its own shape, and is in the cache.

    ``weights`` and ``meta`` are what ``read_checkpoint`` read from ``model``.
    """
    checkpoint = _checkpoint(model, weights, meta, CheckpointHints())
    shape = checkpoint.sized(GraphShape())
    if has_graph("graphs", _base_key(checkpoint, shape)):
        for _ in track(range(1), "preparing its export"):
            _assembled(checkpoint, shape, silent)


@dataclass(frozen=True)
class _Checkpoint:
    """A checkpoint, what it is, its base model's digest, and the generations that were added to that."""

    model: str | Path
    hints: CheckpointHints
    meta: ModelMeta
    base_sha256: str
    added: list[Generation]

    def sized(self, shape: GraphShape) -> GraphShape:
        """``shape`` with the model's own input size, if it names none."""
        return replace(shape, size=check_size(shape.size or self.meta.input_size))


def _checkpoint(model: str | Path, weights: Weights, meta: ModelMeta, hints: CheckpointHints) -> _Checkpoint:
    base, added = split_generations(weights.tensors, meta.group_sizes)
    arrays = {name: tensor.numpy() for name, tensor in base.items()}
    digest = tensors_sha256(arrays, f"{meta.architecture} {meta.batch_norm_eps}")
    return _Checkpoint(model, hints, meta, digest, added)


def _base_key(checkpoint: _Checkpoint, shape: GraphShape) -> str:
    return entry_key(_assembled, [checkpoint.base_sha256, asdict(shape)])


def _assembled(checkpoint: _Checkpoint, shape: GraphShape, track: Track) -> tuple[onnx.ModelProto, ModelMeta]:
    shape = checkpoint.sized(shape)
    path, meta = resolve(checkpoint.model), replace(checkpoint.meta, input_size=shape.input_size)

    def build() -> onnx.ModelProto:
        for _ in track(range(1), "building the base model's graph"):
            module, _ = load_model(checkpoint.model, checkpoint.hints, shape.size)
            graph = to_onnx(GenerationalRCNN(module.base), shape)
        return graph

    graph = cached_graph("graphs", _base_key(checkpoint, shape), build)
    for number, generation in enumerate(checkpoint.added, start=1):
        append(graph, replace(meta, generations=meta.generations[:number]), generation, path)
    return graph, meta

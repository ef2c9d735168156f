"""A checkpoint's graph, put together: the base model's is exported once and kept, later generations are appended."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.model_names import resolve
from edgekit.artifacts.safetensors_files import tensors_sha256
from edgekit.artifacts.value_names import INNER, OUTPUTS
from edgekit.deployment.assembly.appending import appended
from edgekit.deployment.assembly.graph_cache import cached_graph, has_graph
from edgekit.deployment.assembly.tracing import name_parameters, static_onnx
from edgekit.errors import EdgekitError
from edgekit.files.code_digest import entry_key
from edgekit.model.architectures import check_size
from edgekit.model.checkpoint import load_model, read_checkpoint, split_generations
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.hints import CheckpointHints
from edgekit.model.predictors import Generation
from edgekit.model.sources import Weights
from edgekit.progress import Track, silent
from edgekit.static.detector import CANDIDATES, Shape, StaticRCNN
from edgekit.static.norms import folded

if TYPE_CHECKING:
    import onnx


def assemble(
    model: str | Path,
    shape: Shape,
    generations: int | None = None,
    hints: CheckpointHints = CheckpointHints(),
    track: Track = silent,
) -> tuple[onnx.ModelProto, ModelMeta]:
    """The static graph of a checkpoint for one canvas a run, and what the model is.

    The base model's graph comes from the cache if it was ever exported at this shape; then nothing is exported and no
    module is made. ``generations`` leaves out what later adaptations added; ``hints``: see
    ``load_model``.
    """
    return _together(_apart(model, *read_checkpoint(model, hints), hints), shape, generations, track)


def prepare_graph(model: Path, weights: Weights, meta: ModelMeta, track: Track = silent) -> None:
    """Build what an adapted checkpoint's newest generation adds to its graph, which takes seconds, so that its export
    finds it; only where the base model was exported before at its own shape, and is in the cache.

    ``weights`` and ``meta`` are what ``read_checkpoint`` read from ``model``.
    """
    parts = _apart(model, weights, meta)
    shape = Shape(parts.meta.input_size)
    if not has_graph("graphs", _base_key(parts, shape)):
        return
    for _ in track(range(1), "preparing its export"):
        _together(parts, shape)


@dataclasses.dataclass(frozen=True)
class _Parts:
    """A checkpoint, read with ``hints``: what it is, its base model's digest, and the
    generations that were added to that."""

    model: str | Path
    hints: CheckpointHints
    meta: ModelMeta
    base_sha256: str
    added: list[Generation]


def _together(
    parts: _Parts, shape: Shape, generations: int | None = None, track: Track = silent
) -> tuple[onnx.ModelProto, ModelMeta]:
    """See ``assemble``."""
    path, meta = resolve(parts.model), dataclasses.replace(parts.meta, input_size=check_size(shape.size))
    kept = meta if generations is None else meta.until(generations, path)

    def build() -> onnx.ModelProto:
        for _ in track(range(1), "building the base model's graph"):
            first = 0 if meta.scoring == "exact" else None
            module, _ = load_model(parts.model, first, parts.hints, shape.size)
            graph = to_onnx(module, shape)
        return graph

    graph = cached_graph("graphs", _base_key(parts, shape), build)
    for number, generation in enumerate(parts.added[: len(kept.group_sizes) - 1], start=1):
        appended(graph, dataclasses.replace(meta, generations=meta.generations[:number]), generation, path)
    return graph, kept


def _apart(model: str | Path, weights: Weights, meta: ModelMeta, hints: CheckpointHints = CheckpointHints()) -> _Parts:
    base, added = split_generations(weights.tensors, meta.group_sizes)
    return _Parts(model, hints, meta, _base_sha256(base, meta), added)


def _base_key(parts: _Parts, shape: Shape) -> str:
    return entry_key(_together, [parts.base_sha256, dataclasses.asdict(shape)])


def to_onnx(module: GenerationalRCNN, shape: Shape, best_only: bool = False) -> onnx.ModelProto:
    """The static graph of a module; raises if it holds what TensorRT cannot run, or fewer slots than were asked for.

    The values that a later generation builds on (``INNER``; in a graph for several canvases the first one's proposals
    alone, which say how many there are) have these names in it, but are no outputs.
    """
    names = list(OUTPUTS if module.has_masks else OUTPUTS[:3])
    canvas = torch.zeros(shape.batch, *shape.size, 3, dtype=torch.uint8)
    shown = list(INNER) if shape.batch == 1 else ["trunk.proposals"]
    static = StaticRCNN(folded(module), shape, best_only)
    classes = module.predictors.box_predictor.cls_score.out_features - 1
    most = min(CANDIDATES, min(2, classes) * static.trunk.proposal_count)
    if shape.detections is not None and shape.detections > most:
        raise EdgekitError(
            f"--detections {shape.detections}: more than {static.trunk.proposal_count} proposals of {classes} classes "
            f"can fill",
            f"give at most {most}, or more --proposals",
        )
    graph = static_onnx(static, (canvas,), ["images"], names + shown)
    name_parameters(graph, static)
    inner = [v for v in graph.graph.output if v.name in INNER]
    for value in inner:
        graph.graph.output.remove(value)
    graph.graph.value_info.extend(inner)
    return graph


def _base_sha256(tensors: dict[str, torch.Tensor], meta: ModelMeta) -> str:
    """A digest of a base model: its architecture and all its tensors, the base model's predictor rows included."""
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    return tensors_sha256(arrays, f"{meta.architecture} {meta.batch_norm_eps}")

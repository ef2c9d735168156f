"""A checkpoint's graph, put together: the base model's is exported once and kept, later generations are appended."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from edgekit.artifacts import ModelMeta, atomic_path, default_cache, resolve
from edgekit.deployment.append import appended
from edgekit.deployment.graph import CANDIDATES, Shape, StaticRCNN
from edgekit.deployment.nms import ROUNDS
from edgekit.deployment.static_onnx import INNER, OPSET, OUTPUTS, name_parameters, static_onnx
from edgekit.model.architectures import check_size
from edgekit.model.checkpoint import group_sizes, load_model, read_checkpoint, split_generations
from edgekit.model.generations import GenerationalRCNN
from edgekit.progress import Track, silent

if TYPE_CHECKING:
    import onnx

LAYOUT = 1  # of a graph in the cache; a change of what is exported makes earlier ones void
KEPT = 6  # base graphs in the cache, the last used ones


def assemble(
    model: str | Path, shape: Shape, generations: int | None = None, track: Track = silent
) -> tuple[onnx.ModelProto, ModelMeta]:
    """The static graph of a checkpoint for one canvas a run, and what the model is.

    The base model's graph comes from the cache if it was ever exported at this shape; then nothing is exported and no
    module is made. ``generations`` leaves out what later adaptations added.
    """
    import onnx

    weights, meta = read_checkpoint(model)
    meta = dataclasses.replace(meta, input_size=check_size(shape.size))
    added = split_generations(weights.tensors, group_sizes(meta))
    meta = dataclasses.replace(meta, base_sha256=base_sha256(weights.tensors, meta))
    kept = meta if generations is None else meta.until(generations, resolve(model))
    cached = default_cache() / "graphs" / f"{_key(meta, shape)}.onnx"
    if not cached.exists():
        for _ in track(range(1), "building the base model's graph"):
            module, _ = load_model(model, 0 if meta.scoring == "exact" else None, size=shape.size)
            graph = to_onnx(module, shape)
            with atomic_path(cached) as temporary:
                onnx.save(graph, temporary)
            _prune(cached.parent)
    cached.touch()
    graph = onnx.load(cached)
    for number, generation in enumerate(added[: len(group_sizes(kept)) - 1], start=1):
        appended(graph, dataclasses.replace(meta, generations=meta.generations[:number]), generation, resolve(model))
    return graph, kept


def to_onnx(module: GenerationalRCNN, shape: Shape, best_only: bool = False) -> onnx.ModelProto:
    """The static graph of a module; raises if it holds what TensorRT cannot run.

    The values that a later generation builds on (``INNER``, in graphs for one canvas) have these names in it, but are
    no outputs.
    """
    names = list(OUTPUTS if module.has_masks else OUTPUTS[:3])
    canvas = torch.zeros(shape.batch, *shape.size, 3, dtype=torch.uint8)
    static = StaticRCNN(module, shape, best_only)
    graph = static_onnx(static, (canvas,), ["images"], names + list(INNER) * (shape.batch == 1))
    name_parameters(graph, static)
    inner = [v for v in graph.graph.output if v.name in INNER]
    for value in inner:
        graph.graph.output.remove(value)
    graph.graph.value_info.extend(inner)
    return graph


def base_sha256(tensors: dict[str, torch.Tensor], meta: ModelMeta) -> str:
    """A digest of a base model: its architecture and all its tensors, the base model's predictor rows included."""
    digest = hashlib.sha256(f"{meta.architecture} {meta.batch_norm_eps}".encode())
    for name in sorted(tensors):
        array = tensors[name].contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _key(meta: ModelMeta, shape: Shape) -> str:
    """A digest of all that a base model's graph depends on."""
    about = [LAYOUT, OPSET, CANDIDATES, ROUNDS, meta.base_sha256, dataclasses.asdict(shape), torch.__version__]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:40]


def _prune(folder: Path) -> None:
    """Remove all but the last used graphs."""
    by_age = sorted(folder.glob("*.onnx"), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in by_age[KEPT:]:
        old.unlink(missing_ok=True)

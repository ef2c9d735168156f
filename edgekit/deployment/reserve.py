"""Room in a graph for classes that are not known yet: filling it changes weights only, so an engine can be refitted."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from edgekit.artifacts import ModelMeta, read_whole_onnx, resolve
from edgekit.deployment.append import appended, fill
from edgekit.deployment.assembly import base_sha256
from edgekit.errors import EdgekitError
from edgekit.model.checkpoint import read_checkpoint, split_generations
from edgekit.model.predictors import Adapter, Generation

if TYPE_CHECKING:
    import onnx

NEVER = -1e4  # a logit whose softmax is 0, and which float16 can hold
MOST = 256  # classes


def reserve(graph: onnx.ModelProto, meta: ModelMeta, classes: int, source: Path) -> ModelMeta:
    """Append a generation of ``classes`` classes that is never detected; returns what the graph then is."""
    if not 1 <= classes <= MOST:
        raise EdgekitError(f"--reserve-classes {classes}: out of range", f"give 1 to {MOST}")
    if meta.scoring != "exact":
        raise EdgekitError(
            f"{source}: is scored jointly, so no class can be added in the graph", "leave --reserve-classes"
        )
    appended(graph, meta, unused(graph, classes), source)
    return dataclasses.replace(meta, reserved=classes)


def into(model: str | Path, old: Path) -> tuple[onnx.ModelProto, ModelMeta, tuple[str, ...]]:
    """``old``, a graph with reserved classes, with a checkpoint's newest generation in their place.

    Same nodes, same names; returns the names of the weights that differ, for a refitter, too. Raises if the checkpoint
    is not the graph's model with one generation more.
    """
    graph, held = read_whole_onnx(old)
    weights, meta = read_checkpoint(model)
    path, again = resolve(model), "export it anew, without --into"
    if held.precision == "int8":
        raise EdgekitError(
            f"{old}: is int8, whose weights cannot be replaced", f"give a graph in fp32 or fp16, or {again}"
        )
    generations = split_generations(weights.tensors, meta.group_sizes)
    if not held.reserved:
        raise EdgekitError(f"{old}: has no reserved classes", "export it with --reserve-classes N")
    if held.base_sha256 != base_sha256(weights.tensors, meta):
        raise EdgekitError(f"{path}: is not built on the base model of {old}", again)
    if meta.generations[:-1] != held.generations:
        raise EdgekitError(
            f"{path}: has {len(meta.generations) - 1} added generations, {old} room for one after "
            f"{len(held.generations) - 1}",
            again,
        )
    newest = generations[-1]
    if newest.classes > held.reserved:
        raise EdgekitError(f"{path}: adds {newest.classes} classes, {old} has room for {held.reserved}", again)
    before = {t.name: t.raw_data for t in graph.graph.initializer}
    room = padded(newest, held.reserved, graph)
    wanted = {n for n in room.state_dict() if n.startswith(("adapter.", "bbox_pred."))}  # in the rows' place
    if wanted - fill(graph, room, len(generations)):
        raise EdgekitError(f"{old}: its reserved weights are {held.precision} and cannot be replaced", again)
    changed = tuple(t.name for t in graph.graph.initializer if t.raw_data != before[t.name])
    return graph, _like(meta, held), changed


def _like(meta: ModelMeta, held: ModelMeta) -> ModelMeta:
    """The metadata of a checkpoint in the form of a graph."""
    kept = ("input_size", "input_type", "precision", "base_sha256")
    return dataclasses.replace(meta, **{name: getattr(held, name) for name in kept})


def unused(graph: onnx.ModelProto, classes: int) -> Generation:
    """A generation that never fires, of the sizes of the graph's model."""
    shapes = {t.name: list(t.dims) for t in graph.graph.initializer}
    prefix = "model.base.roi_heads."
    mask = shapes.get(f"{prefix}mask_predictor.conv5_mask.weight")
    features = shapes[f"{prefix}box_predictor.cls_score.weight"][1]
    generation = Generation(classes, features, (mask[0], mask[1]) if mask else None, adapter=True)
    with torch.no_grad():
        for parameter in generation.parameters():
            parameter.zero_()
        assert generation.adapter is not None
        for scores in (generation.cls_score, generation.adapter.cls_score):
            scores.bias.fill_(NEVER)
    return generation.eval()


def padded(generation: Generation, classes: int, graph: onnx.ModelProto) -> Generation:
    """A generation as one of ``classes`` classes, the last ones never detected, and with an adapter."""
    result = unused(graph, classes)
    adapter = generation.adapter or equal_adapter(generation, graph)
    assert result.adapter is not None
    _copy(result, generation, ("cls_score", "bbox_pred", "mask_fcn_logits"))
    _copy(result.adapter, adapter, ("cls_score", "raw", "hidden", "bbox_pred", "mask"))
    return result


def equal_adapter(generation: Generation, graph: onnx.ModelProto) -> Adapter:
    """An adapter that computes what a generation's rows do."""
    from onnx import numpy_helper

    features = generation.cls_score.in_features
    held = {t.name: t for t in graph.graph.initializer}
    shared = "model.base.roi_heads.mask_predictor.conv5_mask"
    mask = held.get(f"{shared}.weight")
    adapter = Adapter(generation.classes, features, (mask.dims[0], mask.dims[1]) if mask else None)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.zero_()
        adapter.raw.load_state_dict(generation.cls_score.state_dict())
        if adapter.mask is not None and generation.mask_fcn_logits is not None:
            for kind in ("weight", "bias"):
                array = numpy_helper.to_array(held[f"{shared}.{kind}"])
                adapter.mask.conv5_mask.get_parameter(kind).copy_(torch.from_numpy(array.copy()))
            adapter.mask.mask_fcn_logits.load_state_dict(generation.mask_fcn_logits.state_dict())
    return adapter


@torch.no_grad()
def _copy(target: torch.nn.Module, source: torch.nn.Module, names: tuple[str, ...]) -> None:
    """Copy the weights of layers; the target's may have more rows."""
    for name in names:
        own, given = getattr(target, name), getattr(source, name)
        if own is not None:
            for values, others in zip(own.parameters(), given.parameters(), strict=True):
                values[: len(others)].copy_(others)

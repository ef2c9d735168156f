"""One more generation in an exported graph: its nodes are appended, nothing that is there changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from edgekit.artifacts.graph_shapes import limits_of
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import OnnxFile, write_onnx
from edgekit.artifacts.value_names import INNER, OUTPUTS
from edgekit.deployment.assembly.graph_cache import cached_graph
from edgekit.deployment.assembly.reading_back import ADDED, AGAIN, heads_of, inner_shapes, rename, table_of
from edgekit.deployment.assembly.tracing import name_parameters, static_onnx
from edgekit.deployment.edits.for_cpu import rewrite_for_cpu
from edgekit.deployment.edits.static_check import check_static
from edgekit.deployment.edits.winograd import uses_winograd
from edgekit.errors import EdgekitError
from edgekit.files.code_digest import entry_key
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.predictors import Generation, merged
from edgekit.static.detector import Shape, Slots
from edgekit.static.roi_align import LevelTable
from edgekit.static.static_trunk import MaskFeatures

if TYPE_CHECKING:
    import onnx


def append_generation(base: OnnxFile, output: Path, generation: Generation, meta: ModelMeta) -> None:
    """Write an exported graph with one more generation to ``output``; ``meta`` describes the result.

    The base's nodes and weights stay as they are, so that in one runtime its detections do too, to the last bit; what
    is appended reads the trunk's values and the earlier logits.
    """
    import onnx

    check_appendable(base.meta, base.path)
    graph = onnx.ModelProto()
    graph.CopyFrom(base.graph)
    appended(graph, base.meta, generation, base.path)
    if uses_winograd(graph):
        rewrite_for_cpu(graph)  # the new mask branch too
    check_static(graph)
    write_onnx(output, graph, replace(meta, precision=base.meta.precision))


def check_appendable(meta: ModelMeta, base: Path) -> None:
    """Raise if no generation can be added to the graph ``base``, which ``meta`` describes."""
    if meta.best_only:
        raise EdgekitError(f"{base}: drops covered detections, so no classes can be added to it", AGAIN)
    if meta.precision != "fp32":
        raise EdgekitError(f"{base}: is {meta.precision}; classes are added in fp32", AGAIN)


def appended(graph: onnx.ModelProto, meta: ModelMeta, generation: Generation, source: Path) -> None:
    """Append a generation's nodes and weights to ``graph``, which ``meta`` describes; errors name ``source``."""
    number = len(meta.group_sizes)
    part = _part(graph, meta, generation, source)
    _fill(part, generation, number)
    names = [o.name for o in graph.graph.output if o.name in OUTPUTS]
    _merge(graph, part, number, [*names, "predictors.logits"])


def _fill(graph: onnx.ModelProto, generation: Generation, number: int) -> None:
    """Put a generation's weights into the initialisers that bear their names."""
    from onnx import numpy_helper

    state = {f"{ADDED}{number - 1}.{name}": tensor for name, tensor in generation.state_dict().items()}
    for held in graph.graph.initializer:
        if held.name in state:
            array = state[held.name].detach().cpu().numpy()
            if list(held.dims) != list(array.shape):
                raise RuntimeError(f"{held.name} has the shape {list(held.dims)} in the graph, not {array.shape}")
            held.CopyFrom(numpy_helper.from_array(array.astype(numpy_helper.to_array(held).dtype), held.name))


class _Added(nn.Module):
    """One more generation: what the graph has computed so far to its detections and the logits of all classes."""

    def __init__(self, module: GenerationalRCNN, generation: Generation, shape: Shape, levels: LevelTable) -> None:
        super().__init__()
        self.model = GenerationalRCNN(module.base, [*module.predictors.generations, generation])
        mask = MaskFeatures(module.heads, levels) if module.has_masks else None
        self.number = len(self.model.predictors.generations)
        self.slots = Slots(self.model, mask, shape, self.number)

    def forward(
        self,
        table: torch.Tensor,
        proposals: torch.Tensor,
        proposed: torch.Tensor,
        box_features: torch.Tensor,
        logits: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """The same as a later generation in ``StaticRCNN.forward``."""
        rows, deltas = self.model.predictors.generations[self.number - 1](box_features)
        found = self.slots(table, proposals, proposed, torch.cat([merged(logits), rows], dim=1), deltas)
        return *(values[None] for values in found), torch.cat([logits, rows], dim=1)


def _part(graph: onnx.ModelProto, meta: ModelMeta, generation: Generation, source: Path) -> onnx.ModelProto:
    """What a generation adds to a graph, without the weights that the graph already has and with any in its own place.

    It depends on shapes alone, and building it takes seconds: the cache keeps it.
    """
    shapes = inner_shapes(graph, source)
    _, detections = limits_of(graph, meta)
    about = [meta.architecture, meta.input_size, meta.group_sizes, meta.batch_norm_eps, shapes, detections]
    about += [generation.classes, generation.adapter is not None]
    key = entry_key(_part, about)
    return cached_graph("parts", key, lambda: _export_part(graph, meta, generation, shapes, detections, source))


def _export_part(
    graph: onnx.ModelProto,
    meta: ModelMeta,
    generation: Generation,
    shapes: dict[str, list[int]],
    detections: int,
    source: Path,
) -> onnx.ModelProto:
    module = heads_of(graph, meta, source)
    like = Generation(
        generation.classes,
        module.predictors.box_predictor.cls_score.in_features,
        module.predictors.mask_channels,
        generation.adapter is not None,
    )
    for parameter in like.parameters():
        nn.init.normal_(parameter)  # what is zero, or twice there, the exporter would leave out
    shape = Shape(meta.input_size, detections=detections)
    levels = table_of(meta, shapes, source)
    added = _Added(module, like.eval(), shape, levels).requires_grad_(False)
    names = [*(OUTPUTS if module.has_masks else OUTPUTS[:3]), "predictors.logits"]
    inputs = tuple(torch.zeros(shapes[name]) for name in INNER)
    part = static_onnx(added, inputs, INNER, [f"appended.{n}" for n in names])
    name_parameters(part, added)
    held = {t.name for t in graph.graph.initializer}
    for tensor in [t for t in part.graph.initializer if t.name in held and t.name.startswith("model.")]:
        part.graph.initializer.remove(tensor)
    return part


def _merge(graph: onnx.ModelProto, part: onnx.ModelProto, number: int, names: list[str]) -> None:
    """Append ``part``'s nodes to ``graph`` and join the values ``names``: detections in a row, the logits replaced."""
    import onnx
    from onnx import helper

    earlier = {name: f"until.{number - 1}.{name}" for name in names}
    later = {f"appended.{name}": f"generations.{number}.{name}" for name in names}
    rename(graph.graph, earlier)
    later["appended.predictors.logits"] = "predictors.logits"
    taken = {v: v for v in INNER} | {"predictors.logits": earlier["predictors.logits"]}
    weights = {t.name: t.name for t in part.graph.initializer if t.name.startswith("model.")}
    inside = {o for node in part.graph.node for o in node.output} | {t.name for t in part.graph.initializer}
    rename(part.graph, {n: f"generations.{number}.{n}" for n in inside} | weights | taken | later)
    for node in part.graph.node:
        node.name = f"generations.{number}.{node.name}"
    graph.graph.initializer.extend(part.graph.initializer)
    graph.graph.node.extend(part.graph.node)
    shapes = {v.name: v for v in [*part.graph.output, *part.graph.value_info]}
    outputs = {v.name: v for v in graph.graph.output}
    del graph.graph.output[:]
    for name in names[:-1]:
        old, new = outputs[earlier[name]], shapes[f"generations.{number}.{name}"]
        graph.graph.node.append(
            helper.make_node("Concat", [old.name, new.name], [name], f"join {name} {number}", axis=1)
        )
        total = onnx.ValueInfoProto()
        total.CopyFrom(old)
        total.name = name
        total.type.tensor_type.shape.dim[1].dim_value += new.type.tensor_type.shape.dim[1].dim_value
        graph.graph.output.append(total)
        graph.graph.value_info.append(old)
    held = {t.name for t in graph.graph.initializer} | {v.name for v in graph.graph.value_info}
    graph.graph.value_info.extend(v for name, v in shapes.items() if name not in held)

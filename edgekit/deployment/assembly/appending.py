"""One more generation in an exported graph: its nodes are appended, nothing that is there changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import onnx_ir as ir
import torch
from torch import nn

from edgekit.artifacts.graph_shapes import GraphShape, limits_of
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import OnnxFile, write_onnx
from edgekit.artifacts.value_names import FOUND, INNER, LOGITS, OUTPUTS, mask_values, of_generation, until
from edgekit.deployment.assembly.graph_cache import cached_graph
from edgekit.deployment.assembly.reading_back import ADDED, AGAIN, heads_of, inner_shapes, level_table
from edgekit.deployment.assembly.tracing import static_onnx
from edgekit.deployment.edits.editing import dims_in, editing
from edgekit.deployment.edits.for_cpu import rewrite_for_cpu
from edgekit.deployment.edits.static_check import check_static
from edgekit.deployment.edits.winograd import uses_winograd
from edgekit.errors import EdgekitError
from edgekit.files.code_digest import entry_key
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.predictors import Generation, merged
from edgekit.static.detector import Slots
from edgekit.static.roi_align import LevelTable
from edgekit.static.static_trunk import MaskFeatures


def append_generation(base: OnnxFile, output: Path, generation: Generation, meta: ModelMeta) -> None:
    """Write an exported graph with one more generation to ``output``; ``meta`` describes the result.

    The base's nodes and weights stay as they are, so that in one runtime its detections do too, to the last bit; what
    is appended reads the trunk's values and the earlier logits.
    """
    check_appendable(base.meta, base.path)
    graph = onnx.ModelProto()
    graph.CopyFrom(base.graph)
    append(graph, base.meta, generation, base.path)
    if uses_winograd(graph):
        rewrite_for_cpu(graph)  # the new mask branch too
    check_static(graph)
    write_onnx(output, graph, replace(meta, precision=base.meta.precision))


def check_appendable(meta: ModelMeta, base: Path) -> None:
    """Raise if no generation can be added to the graph ``base``, which ``meta`` describes."""
    if meta.overlaps == "one":
        raise EdgekitError(
            f"{base}: gives one label per object, so no classes can be added to it", "export it without --overlaps one"
        )
    if meta.precision != "fp32":
        raise EdgekitError(f"{base}: is {meta.precision}; classes are added in fp32", AGAIN)


def append(model: onnx.ModelProto, meta: ModelMeta, generation: Generation, source: Path) -> None:
    """Append a generation's nodes and weights to ``model``, which ``meta`` describes; errors name ``source``."""
    number = len(meta.group_sizes)
    part = ir.from_proto(_part(model, meta, generation, source)).graph
    _fill(part, generation, number)
    with editing(model) as graph:
        _join(graph, part, number)


def _fill(part: ir.Graph, generation: Generation, number: int) -> None:
    """Put a generation's weights into the initialisers that bear their names."""
    for name, tensor in generation.state_dict().items():
        held = part.initializers.get(f"{ADDED}{number - 1}.{name}")
        if held is not None:
            held.const_value = ir.tensor(tensor.detach().cpu().numpy(), name=held.name)


class _Added(nn.Module):
    """One more generation: what the graph has computed so far to its detections and the logits of all classes."""

    def __init__(self, module: GenerationalRCNN, generation: Generation, shape: GraphShape, levels: LevelTable) -> None:
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
        found, of_masks = self.slots(table, proposals, proposed, torch.cat([merged(logits), rows], dim=1), deltas)
        return *(values[None] for values in found), torch.cat([logits, rows], dim=1), *of_masks


def _part(model: onnx.ModelProto, meta: ModelMeta, generation: Generation, source: Path) -> onnx.ModelProto:
    """What a generation adds to a graph: it takes the weights that the graph already has, and has any in its own place.

    It depends on shapes alone, and building it takes seconds: the cache keeps it.
    """
    shapes = inner_shapes(model, source)
    _, detections = limits_of(model, meta)
    about = [meta.architecture, meta.input_size, meta.group_sizes, meta.batch_norm_eps, shapes, detections]
    about += [generation.classes, generation.adapter is not None]
    key = entry_key(_part, about)
    return cached_graph("parts", key, lambda: _export_part(model, meta, generation, shapes, detections, source))


def _export_part(
    model: onnx.ModelProto,
    meta: ModelMeta,
    generation: Generation,
    shapes: dict[str, list[int]],
    detections: int,
    source: Path,
) -> onnx.ModelProto:
    """The part; its inputs, some of them weights, and outputs have the names that they have in the whole graph."""
    module, number = heads_of(model, meta, source), len(meta.group_sizes)
    like = Generation(
        generation.classes,
        module.predictors.box_predictor.cls_score.in_features,
        module.predictors.mask_channels,
        generation.adapter is not None,
    )
    for parameter in like.parameters():
        nn.init.normal_(parameter)  # what is zero, or twice there, the exporter would leave out
    levels = level_table(meta, shapes, source)
    added = _Added(module, like.eval(), GraphShape(meta.input_size, detections=detections), levels)
    inputs = tuple(torch.zeros(shapes[name]) for name in INNER)
    input_names = [until(number - 1, name) if name == LOGITS else name for name in INNER]
    outputs = [of_generation(number, name) for name in (OUTPUTS if module.has_masks else FOUND)]
    inner = mask_values(number) if module.has_masks else ()
    part = static_onnx(added.requires_grad_(False), inputs, input_names, [*outputs, LOGITS, *inner])
    held = {t.name for t in model.graph.initializer}
    for tensor in [t for t in part.graph.initializer if t.name in held and t.name.startswith("model.")]:
        part.graph.initializer.remove(tensor)
        part.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return part


def _join(graph: ir.Graph, part: ir.Graph, number: int) -> None:
    """Append ``part`` to ``graph``: detections are joined in a row, the logits are those of all generations."""
    values = ir.convenience.create_value_mapping(graph)
    for value in (*graph.outputs, values[LOGITS]):
        value.name = until(number - 1, value.name)
        values[value.name] = value
    for taken in part.inputs:
        taken.replace_all_uses_with(values[taken.name])
    later = {value.name: value for value in part.outputs}
    _move(part, graph, number)
    for place, earlier in enumerate(list(graph.outputs)):
        name = OUTPUTS[place]
        added = later[of_generation(number, name)]
        slots = dims_in(earlier)[1] + dims_in(added)[1]
        total = ir.val(name, earlier.dtype, [1, slots, *dims_in(earlier)[2:]])
        graph.append(ir.node("Concat", [earlier, added], {"axis": 1}, outputs=[total], name=f"join {name} {number}"))
        graph.outputs[place] = total


def _move(part: ir.Graph, graph: ir.Graph, number: int) -> None:
    """Move a part's nodes and weights into a graph; all but outputs and weights get names of the generation's own."""
    nodes, outputs, constants = list(part), list(part.outputs), list(part.initializers.values())
    for node in nodes:
        node.name = of_generation(number, node.name)
        for value in node.outputs:
            if value not in outputs:
                value.name = of_generation(number, value.name)
    part.outputs.clear()
    part.remove(nodes)
    graph.extend(nodes)
    for value in constants:
        del part.initializers[value.name]
        if not value.name.startswith("model."):
            value.name = of_generation(number, value.name)
        graph.register_initializer(value)

"""A pack's graphs for a model in parts: of its detections, and of their masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir

from edgekit.artifacts.manifest import BASE, CHOOSE, mask_head
from edgekit.artifacts.metadata import METADATA_KEY
from edgekit.artifacts.value_names import CHANNELS, CHOSEN, FEATURES, MASKS, PACK_LOGITS
from edgekit.graphs.branches import as_model
from edgekit.graphs.pack_graph import READ, PackNodes, Tensors

OPSET, IR_VERSION = 18, 10


@dataclass(frozen=True)
class PackGraphs:
    """``detect`` takes ``READ`` of the base model and its parents' logits, and gives boxes, classes, scores and logits.

    ``masks`` take a number of boxes each, that is its key: mask head features and classes -> masks.
    """

    detect: onnx.ModelProto
    masks: Mapping[int, onnx.ModelProto]


def pack_graphs(folder: Path, tensors: Tensors, parents: Mapping[str, int], slots: tuple[int, ...]) -> PackGraphs:
    """The graphs of a pack for the base model in ``folder``.

    ``parents`` are the names under which it takes the logits of packs that it was trained on top of, with their
    numbers of classes; ``slots`` the numbers of boxes of mask graphs.
    """
    masks = {count: _masks(folder, tensors, count) for count in slots}
    return PackGraphs(_detections(folder, tensors, parents), masks)


def _detections(folder: Path, tensors: Tensors, parents: Mapping[str, int]) -> onnx.ModelProto:
    base = {v.name: v for v in ir.load(folder / BASE).graph.outputs}
    choose = ir.from_proto(onnx.load(folder / CHOOSE)).graph
    read = {name: ir.val(name, base[name].dtype, base[name].shape) for name in READ}
    proposals = base[READ[0]].shape[0]
    others = [ir.val(name, ir.DataType.FLOAT, [proposals, count]) for name, count in parents.items()]
    graph = _empty([*read.values(), *others])
    found = PackNodes(graph, tensors, "", "").detect(read, others, choose)
    return _finished(graph, dict(zip((*CHOSEN, PACK_LOGITS), found, strict=True)))


def _masks(folder: Path, tensors: Tensors, count: int) -> onnx.ModelProto:
    made = ir.load(folder / mask_head(count)).graph.outputs[0]
    features, channels = ir.val(FEATURES, made.dtype, made.shape), ir.val(CHANNELS, ir.DataType.INT64, [count])
    graph = _empty([features, channels])
    return _finished(graph, {MASKS: PackNodes(graph, tensors, "", "").masks(features, channels)})


def _empty(inputs: list[ir.Value]) -> ir.Graph:
    return ir.Graph(inputs, [], nodes=[], opset_imports={"": OPSET}, name=METADATA_KEY)


def _finished(graph: ir.Graph, outputs: Mapping[str, ir.Value]) -> onnx.ModelProto:
    for name, value in outputs.items():
        value.name = name
        graph.outputs.append(value)
    model = as_model(graph, IR_VERSION)
    model.producer_name = METADATA_KEY
    return model

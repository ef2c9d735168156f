"""The nodes of a detector's graph that compute features: their weights, and their blocks of the model."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import onnx_ir as ir

from edgekit.artifacts.value_names import TABLE
from edgekit.errors import EdgekitError
from edgekit.graphs.editing import is_weight

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# What may lie between two layers with weights. Geometry (Div, Exp, Floor, TopK, Greater, ...) is none of these.
PASSING = (
    "Add", "AveragePool", "Clip", "Concat", "Flatten", "Gather", "GlobalAveragePool", "HardSigmoid", "HardSwish",
    "Identity", "MatMul", "MaxPool", "Mul", "Pad", "ReduceMean", "Relu", "Reshape", "Resize", "Sigmoid", "Slice",
    "Split", "Squeeze", "Transpose", "Unsqueeze",
)  # fmt: skip
# Where a weight's name puts it: the block is the pattern's groups, joined by dots.
BLOCKS = (
    (re.compile(r"backbone\.(body)\.(\w+)\."), None),
    (re.compile(r"backbone\.fpn\."), "fpn"),
    (re.compile(r"\brpn\."), "rpn"),
    (re.compile(r"(roi_heads|box)\.box_head\."), "box_head"),
    (re.compile(r"roi_heads\.mask_head\."), "mask_head"),
    (re.compile(r"(roi_heads\.\w*predictor|predictors\.added)\."), "predictors"),
)


@dataclass(frozen=True)
class Layer:
    """A node with a weight of its own: its name, its kind, the weight's name and the block it is part of."""

    node: str
    kind: str
    weight: str
    block: str


def layers(graph: ir.Graph) -> tuple[Layer, ...]:
    """The layers with floating-point weights, in the graph's order."""
    found = []
    for node in graph:
        if node.op_type not in WEIGHTED or len(node.inputs) < 2:
            continue
        weight = node.inputs[1]
        if is_weight(weight) and weight.dtype == ir.DataType.FLOAT and len(weight.shape) >= 2:
            found.append(Layer(node.name, node.op_type, weight.name, block_of(weight.name)))
    return tuple(found)


def block_of(weight: str) -> str:
    """The block a weight is part of, by its name: ``body.4``, ``fpn``, ``rpn``, ``box_head``, ``mask_head``, ..."""
    for pattern, name in BLOCKS:
        if match := pattern.search(weight):
            return name or ".".join(match.groups())
    return "other"


def blocks(graph: ir.Graph) -> tuple[str, ...]:
    """The names of the graph's blocks, in its order."""
    return tuple(dict.fromkeys(layer.block for layer in layers(graph)))


def matching(graph: ir.Graph, keep: Iterable[str]) -> frozenset[str]:
    """The names of the layers' nodes that ``keep`` picks; raises EdgekitError for an entry that picks none.

    An entry is a block or a beginning of blocks' names (``body`` for all ``body.N``), a node or a beginning of a
    weight's name.
    """
    known, picked = layers(graph), set()
    for entry in keep:
        prefix = f"{entry}."
        here = {
            x.node
            for x in known
            if x.block == entry or x.block.startswith(prefix) or x.node == entry or x.weight.startswith(entry)
        }
        if not entry or not here:
            raise EdgekitError(f"--keep {entry}: no layer of the model", f"its blocks: {', '.join(blocks(graph))}")
        picked |= here
    return frozenset(picked)


def feature_nodes(graph: ir.Graph) -> frozenset[str]:
    """The names of the nodes between layers with weights: what carries features from one to the next.

    A node counts if only nodes that pass features on lead to it from some layer, and from it to another. So decoding
    boxes, choosing proposals, scoring and all that comes before the first layer are left out.
    """
    names = {layer.node for layer in layers(graph)}
    weighted = [n for n in graph if n.name in names]
    passing = [n for n in graph if n.name not in names and _passes(n)]
    after = {n.outputs[0] for n in weighted}
    for node in passing:
        if after.intersection(node.inputs):
            after.update(node.outputs)
    before = {n.inputs[0] for n in weighted} | {v for n in graph for v in n.outputs if v.name == TABLE}
    for node in reversed(passing):
        if before.intersection(node.outputs):
            before.update(node.inputs)
    return frozenset(n.name for n in passing if after.intersection(n.inputs) and before.intersection(n.outputs))


def _passes(node: ir.Node) -> bool:
    """Whether a node passes features on. Rows picked at computed places are features only if they are the table's."""
    if node.op_type == "Gather":
        return node.inputs[0].name == TABLE or is_weight(node.inputs[1])
    return node.op_type in PASSING

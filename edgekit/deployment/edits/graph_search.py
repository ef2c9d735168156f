"""Which nodes of a detector's graph compute features, with which weights, and in which block of the model?"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.errors import EdgekitError

if TYPE_CHECKING:
    import onnx

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# What may lie between two layers with weights. Geometry (Div, Exp, Floor, TopK, Greater, ...) is none of these.
PASSING = (
    "Add", "AveragePool", "Clip", "Concat", "Flatten", "Gather", "GlobalAveragePool", "HardSigmoid", "HardSwish",
    "Identity", "MatMul", "MaxPool", "Mul", "Pad", "ReduceMean", "Relu", "Reshape", "Resize", "Sigmoid", "Slice",
    "Split", "Squeeze", "Transpose", "Unsqueeze",
)  # fmt: skip
TABLE = "trunk.table"
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


def layers(graph: onnx.GraphProto) -> tuple[Layer, ...]:
    """The layers with floating-point weights, in the graph's order."""
    from onnx import TensorProto

    weights = {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) >= 2}
    found = []
    for node in graph.node:
        if node.op_type in WEIGHTED and len(node.input) > 1 and node.input[1] in weights:
            found.append(Layer(node.name, node.op_type, node.input[1], block_of(node.input[1])))
    return tuple(found)


def block_of(weight: str) -> str:
    """The block a weight is part of, by its name: ``body.4``, ``fpn``, ``rpn``, ``box_head``, ``mask_head``, ..."""
    for pattern, name in BLOCKS:
        if match := pattern.search(weight):
            return name or ".".join(match.groups())
    return "other"


def blocks(graph: onnx.GraphProto) -> tuple[str, ...]:
    """The names of the graph's blocks, in its order."""
    return tuple(dict.fromkeys(layer.block for layer in layers(graph)))


def matching(graph: onnx.GraphProto, keep: Iterable[str]) -> frozenset[str]:
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


def feature_nodes(graph: onnx.GraphProto) -> frozenset[str]:
    """The names of the nodes between layers with weights: what carries features from one to the next.

    A node counts if only nodes that pass features on lead to it from some layer, and from it to another. So decoding
    boxes, choosing proposals, scoring and all that comes before the first layer are left out.
    """
    weighted = {layer.node for layer in layers(graph)}
    constants = {t.name for t in graph.initializer}
    passing = [n for n in graph.node if n.name not in weighted and _passes(n, constants)]
    after = {o for n in graph.node if n.name in weighted for o in n.output}
    for node in passing:
        if any(i in after for i in node.input):
            after.update(node.output)
    before = {n.input[0] for n in graph.node if n.name in weighted} | {TABLE}
    for node in reversed(passing):
        if any(o in before for o in node.output):
            before.update(node.input)
    return frozenset(n.name for n in passing if any(i in after for i in n.input) and any(o in before for o in n.output))


def constants_of(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """A graph's initialisers by name."""
    return {t.name: t for t in graph.initializer}


def drop_unused(graph: onnx.GraphProto) -> None:
    """Drop the initialisers and the shapes of values that no node reads or makes any more."""
    used = {i for n in graph.node for i in n.input} | {o for n in graph.node for o in n.output}
    used |= {v.name for v in [*graph.input, *graph.output]}
    for items in (graph.initializer, graph.value_info):
        for place in reversed(range(len(items))):
            if items[place].name not in used:
                del items[place]


def leading_to(nodes: Iterable[onnx.NodeProto], values: Iterable[str]) -> frozenset[str]:
    """The names of the nodes that values depend on."""
    producers = {o: n for n in nodes for o in n.output}
    found: set[str] = set()
    waiting = list(values)
    while waiting:
        node = producers.get(waiting.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            waiting.extend(node.input)
    return frozenset(found)


def consumers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """The nodes that read each value."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in dict.fromkeys(node.input):
            found.setdefault(name, []).append(node)
    return found


def _passes(node: onnx.NodeProto, constants: set[str]) -> bool:
    """Whether a node passes features on. Rows picked at computed places are features only if they are the table's."""
    if node.op_type == "Gather":
        return node.input[0] == TABLE or node.input[1] in constants
    return node.op_type in PASSING

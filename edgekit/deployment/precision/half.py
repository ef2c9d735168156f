"""A float32 graph as one that computes features in half precision and everything else in float32."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir

from edgekit.artifacts.value_names import INNER
from edgekit.deployment.edits.layers import feature_nodes, layers, matching
from edgekit.graphs.editing import constant, editing, graph_of, is_weight

if TYPE_CHECKING:
    from edgekit.deployment.precision.calibration import Range

LARGEST = float(np.finfo(np.float16).max)
HEADROOM = 4  # photos may have larger values than those that were measured
# The float inputs that stay float32 in a half node: a Resize's regions and scales.
ONLY_FIRST = ("Resize",)
SUFFIX = ".half"


def to_fp16(model: onnx.ModelProto, keep: Sequence[str] = (), overflowing: Collection[str] = ()) -> onnx.ModelProto:
    """A copy of a graph whose features are computed in half, strongly typed: explicit Cast nodes, weights in half.

    Box decoding, anchors, NMS, TopK, RoIAlign's coordinates and weights, softmax, sigmoid of scores, normalisation and
    all inputs and outputs stay float32, and so do the values that later generations read, under their names. ``keep``
    names blocks or layers that stay float32 too, ``overflowing`` nodes whose values half cannot hold (``too_large``); a
    layer with such a weight stays float32 of itself.
    """
    half = deepcopy(model)
    with editing(half) as graph:
        in_half = half_nodes(graph, matching(graph, keep) | oversized(graph) | set(overflowing))
        _Border(graph, in_half).write()
    return half


def half_values(model: onnx.ModelProto) -> tuple[str, ...]:
    """The values that ``to_fp16`` would compute in half, without those that only hold other values in another order."""
    graph = graph_of(model)
    computed = {layer.node for layer in layers(graph)}
    nodes = [n for n in half_nodes(graph) if n.name in computed or n.op_type in ("Add", "Mul")]
    return tuple(n.outputs[0].name for n in nodes if n.outputs[0].dtype == ir.DataType.FLOAT)


def too_large(model: onnx.ModelProto, ranges: Mapping[str, Range]) -> tuple[str, ...]:
    """The names of the nodes whose values, by their measured ranges, come too near to the largest half."""
    large = {name for name, r in ranges.items() if max(-r.min, r.max) > LARGEST / HEADROOM}
    return tuple(n.name for n in model.graph.node if large & set(n.output))


def oversized(graph: ir.Graph) -> frozenset[str]:
    """The layers with a weight or bias that half cannot hold."""
    names = {layer.node for layer in layers(graph)}
    return frozenset(n.name for n in graph if n.name in names and any(map(_beyond_half, n.inputs[1:])))


def _beyond_half(value: Any) -> bool:
    return is_weight(value) and not bool((np.abs(value.const_value.numpy()) <= LARGEST).all())


def half_nodes(graph: ir.Graph, in_float: frozenset[str] = frozenset()) -> list[ir.Node]:
    """The nodes to compute in half: layers and what follows them as features, but for ``in_float``."""
    names = {layer.node for layer in layers(graph)} - in_float
    between = feature_nodes(graph) - in_float
    found = []
    halves = {v for n in graph if n.name in names for v in n.outputs}
    for node in graph:
        if node.name in names or (node.name in between and halves.intersection(node.inputs)):
            found.append(node)
            halves.update(node.outputs)
    return found


class _Border:
    """Gives ``in_half`` nodes half inputs and outputs, with a Cast wherever a value crosses the border."""

    def __init__(self, graph: ir.Graph, in_half: list[ir.Node]) -> None:
        self.graph, self.in_half = graph, set(in_half)
        self.halved: dict[ir.Value, ir.Value] = {}  # float values, and what a Cast has made of them

    def write(self) -> None:
        """Write the types, casts and constants."""
        for node in [n for n in self.graph if n in self.in_half]:
            for place, value in enumerate(node.inputs):
                data = not place or node.op_type not in ONLY_FIRST
                if data and value is not None and value.dtype == ir.DataType.FLOAT:
                    node.replace_input_with(place, self._half(value, node))
            for value in node.outputs:
                self._give_out(value, node)

    def _half(self, value: ir.Value, reader: ir.Node) -> ir.Value:
        """A float value, or constant, in half."""
        if value not in self.halved:
            name = f"{value.name}{SUFFIX}"
            if is_weight(value):
                made = self._half_constant(value)
            else:
                made = self._cast(value, ir.val(name, ir.DataType.FLOAT16, value.shape), f"to_half {value.name}")
                reader.prepend(made.producer())
            self.halved[value] = made
        return self.halved[value]

    def _half_constant(self, value: ir.Value) -> ir.Value:
        """A constant in half, under its name; a copy of it where a float32 node reads it too."""
        array = np.clip(value.const_value.numpy(), -LARGEST, LARGEST)  # only bounds of a Clip are beyond
        array = array.astype(np.float16)
        if any(n not in self.in_half or n.op_type in ONLY_FIRST for n in value.consumers()):
            return constant(self.graph, f"{value.name}{SUFFIX}", array)
        value.const_value, value.dtype = ir.tensor(array, name=value.name), ir.DataType.FLOAT16
        return value

    def _give_out(self, value: ir.Value, node: ir.Node) -> None:
        """Make a node's output half, and a float one of it for those that read that."""
        outside = [(user, place) for user, place in value.uses() if user not in self.in_half]
        value.dtype = ir.DataType.FLOAT16
        if outside or value.is_graph_output() or value.name in INNER:
            name = value.name
            value.name = f"{name}{SUFFIX}"
            full = self._cast(value, ir.val(name, ir.DataType.FLOAT, value.shape), f"to_float {name}")
            node.append(full.producer())
            for user, place in outside:
                user.replace_input_with(place, full)
            for place, output in enumerate(self.graph.outputs):
                if output is value:
                    self.graph.outputs[place] = full

    def _cast(self, value: ir.Value, made: ir.Value, name: str) -> ir.Value:
        return ir.node("Cast", [value], {"to": made.dtype}, outputs=[made], name=name).outputs[0]

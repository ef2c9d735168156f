"""ONNX models edited through onnx_ir, whose graphs link values to the nodes that make and read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgekit.artifacts.value_names import INNER


def graph_of(model: onnx.ModelProto) -> ir.Graph:
    """A model's graph, to be looked at."""
    return ir.from_proto(model).graph


@contextmanager
def editing(model: onnx.ModelProto) -> Iterator[ir.Graph]:
    """A model's graph, to be changed; when the block ends well the model becomes what the graph is then.

    What leads to no output and no inner value is left out, and shapes and types of new values are inferred.
    """
    edited = ir.from_proto(model)
    yield edited.graph
    model.CopyFrom(inferred(edited))


def inferred(model: ir.Model) -> onnx.ModelProto:
    """A model without what leads to no output and no inner value, with the shapes and types of all values."""
    remove_unused_nodes(model)
    return onnx.shape_inference.infer_shapes(ir.to_proto(model), check_type=True, strict_mode=True, data_prop=True)


def remove_unused_nodes(model: ir.Model) -> None:
    """Remove what leads to no output and no inner value of a model."""
    graph = model.graph
    outputs = list(graph.outputs)
    graph.outputs.extend(v for n in graph for v in n.outputs if v.name in INNER and v not in outputs)
    RemoveUnusedNodesPass()(model)
    graph.outputs[len(outputs) :] = []  # "del" would leave their values marked as outputs


def dims_in(value: ir.Value) -> tuple[int, ...]:
    """A value's static shape."""
    assert value.shape is not None
    return tuple(int(n) for n in value.shape)


def is_weight(value: Any) -> bool:
    """Whether a node's input is a constant of the graph."""
    return value is not None and value.const_value is not None


def constant(graph: ir.Graph, name: str, values: np.ndarray) -> ir.Value:
    """A constant of the graph; one that has this name already is used again."""
    if name not in graph.initializers:
        tensor = ir.tensor(values, name=name)
        graph.register_initializer(ir.val(name, tensor.dtype, tensor.shape, const_value=tensor))
    return graph.initializers[name]


def numbers(graph: ir.Graph, *values: int) -> ir.Value:
    """A constant of integers, shared by all who need these."""
    return constant(graph, f"numbers.{'-'.join(map(str, values))}", np.array(values, np.int64))


def nodes_leading_to(values: Iterable[ir.Value]) -> set[ir.Node]:
    """The nodes that values depend on."""
    found: set[ir.Node] = set()
    waiting = [value.producer() for value in values]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting.extend(node.predecessors())
    return found


class Replacement:
    """Nodes that compute anew, before ``node``, what it makes; they are named after that, as far as nothing else is
    said. Constants of shapes are shared."""

    def __init__(self, graph: ir.Graph, node: ir.Node) -> None:
        self.graph, self.node, self.count = graph, node, 0

    def op(self, kind: str, *inputs: ir.Value, value: str = "", name: str = "", **attributes: object) -> ir.Value:
        """Insert a node that makes one value; returns that."""
        self.count += 1
        value = value or f"{self.node.outputs[0].name}.{kind.lower()}{self.count}"
        node = ir.node(kind, inputs, attributes, outputs=[ir.val(value)], name=name or f"{value} {kind}")
        self.graph.insert_before(self.node, node)
        return node.outputs[0]

    def transpose(self, value: ir.Value, /, *order: int, **names: str) -> ir.Value:
        """The value with its axes in another order."""
        return self.op("Transpose", value, perm=order, **names)

    def reshape(self, value: ir.Value, /, *shape: int, **names: str) -> ir.Value:
        """The value in another shape."""
        return self.op("Reshape", value, self.numbers(*shape), **names)

    def numbers(self, *values: int) -> ir.Value:
        """A constant of integers."""
        return numbers(self.graph, *values)

    def finish(self, value: ir.Value) -> None:
        """Have ``value`` take the place and the name of what the node makes, and remove the node."""
        ir.convenience.replace_nodes_and_values(self.graph, self.node, [self.node], [], self.node.outputs, [value])

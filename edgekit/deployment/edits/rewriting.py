"""A graph's nodes written anew, some of them replaced by others that compute the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.artifacts.graph_shapes import shapes_of
from edgekit.artifacts.value_names import INNER
from edgekit.deployment.edits.graph_search import constants_of, drop_unused, leading_to

if TYPE_CHECKING:
    import onnx


class Rewriting:
    """The nodes of a graph so far, in their new order, and what is known of their values.

    Nodes have names of their own. Constants that the graph has already are used again.
    """

    def __init__(self, graph: onnx.GraphProto, prefix: str) -> None:
        self.graph, self.prefix = graph, prefix
        self.shapes = shapes_of([*graph.value_info, *graph.input])
        self.held = constants_of(graph)
        self.nodes: list[onnx.NodeProto] = []
        self._types: dict[str, int] = {}  # of the values made
        self._made: dict[str, np.ndarray] = {}

    def node(
        self,
        kind: str,
        inputs: Sequence[str],
        output: str,
        shape: Sequence[int],
        name: str = "",
        data_type: int = 1,  # TensorProto.FLOAT
        **attributes: Any,
    ) -> str:
        """Write a node that makes one value of that shape and type; returns the value's name."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [output], name or f"{output} {kind}", **attributes))
        self.shapes[output], self._types[output] = list(shape), data_type
        return output

    def numbers(self, *values: int) -> str:
        """The name of a constant that holds integers."""
        return self.constant("-".join(map(str, values)), np.array(values, np.int64))

    def constant(self, name: str, values: np.ndarray) -> str:
        """The name of a constant, which begins with ``prefix``."""
        return self.weight(f"{self.prefix}{name}", values)

    def weight(self, name: str, values: np.ndarray) -> str:
        """The name of a constant that keeps its name, as one made of a weight does to stay in the weight's block."""
        if name not in self.held:
            self._made[name] = values
        return name

    def finish(self) -> None:
        """Put the nodes and what they need into the graph, without those that lead to no output and no inner value."""
        from onnx import helper, numpy_helper

        needed = leading_to(self.nodes, [*(o.name for o in self.graph.output), *INNER])
        nodes = [type(n).FromString(n.SerializeToString()) for n in self.nodes if n.name in needed]
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        self.graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in self._made.items())
        drop_unused(self.graph)
        known = {v.name for v in [*self.graph.value_info, *self.graph.output]}
        for name in (o for n in nodes for o in n.output if o not in known):
            if name in self._types:
                info = helper.make_tensor_value_info(name, self._types[name], self.shapes[name])
                self.graph.value_info.append(info)

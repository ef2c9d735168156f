"""Convolutions of one pixel as matrix products of rows, for a runtime whose 8-bit products may have float results.

A 1x1 convolution is one product of the pixels' channels. So is a transposed one of 2x2 with stride 2: each pixel gives
four, and what follows by pixel need not know where they lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.deployment.graph_shape import shapes_of
from edgekit.deployment.precision.features import constants_of, consumers, drop_unused

if TYPE_CHECKING:
    import onnx


def use_products(graph: onnx.GraphProto, single: frozenset[str], kept: frozenset[str]) -> dict[str, str]:
    """Make products of the 1x1 convolutions named in ``single``, and of 2x2 transposed ones that only such read.

    In place; a product has its convolution's name, and those named in ``kept`` stay convolutions. Returns the values
    made, each with the value of before that has the same numbers in another shape.
    """
    shapes, held = shapes_of([*graph.value_info, *graph.input]), constants_of(graph)
    readers, outputs = consumers(graph), {o.name for o in graph.output}
    writer = _Writer(graph, shapes, held)
    chosen = {n.name for n in graph.node if n.name in single - kept and _plain(n, held, [1, 1], [1, 1])}
    doubled: dict[str, onnx.NodeProto] = {}  # by the name of a transposed one: the Relu behind it
    for node in graph.node:
        if node.op_type != "ConvTranspose" or node.name in kept or not _plain(node, held, [2, 2], [2, 2]):
            continue
        relus = readers.get(node.output[0], [])
        ends = readers.get(relus[0].output[0], []) if len(relus) == 1 and relus[0].op_type == "Relu" else []
        if ends and all(n.name in chosen for n in ends) and not {node.output[0], relus[0].output[0]} & outputs:
            doubled[node.name] = relus[0]
    activated = {relu.output[0] for relu in doubled.values()}
    for node in graph.node:
        if node.name in doubled:
            writer.transposed(node, doubled[node.name].output[0])
        elif node.name in chosen:
            writer.single(node, doubled=node.input[0] in activated)
        elif not activated.intersection(node.output):
            writer.nodes.append(node)
    writer.finish()
    return writer.same


def _plain(node: onnx.NodeProto, held: dict[str, onnx.TensorProto], kernel: list[int], strides: list[int]) -> bool:
    """Whether a node is a convolution of all channels with that kernel and stride, no border, and constant weights."""
    from onnx import helper

    if node.op_type not in ("Conv", "ConvTranspose") or any(i not in held for i in node.input[1:]):
        return False
    has = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    ones = has.get("dilations", [1, 1]) == [1, 1] and has.get("group", 1) == 1
    border = any(has.get("pads", [])) or any(has.get("output_padding", []))
    return (list(held[node.input[1]].dims[2:]), has.get("strides", [1, 1])) == (kernel, strides) and ones and not border


class _Writer:
    """A graph's nodes so far; ``same`` are the values made that hold another's numbers."""

    def __init__(self, graph: onnx.GraphProto, shapes: dict[str, list[int]], held: dict[str, onnx.TensorProto]) -> None:
        self.graph, self.shapes, self.held = graph, shapes, held
        self.nodes: list[onnx.NodeProto] = []
        self.same: dict[str, str] = {}
        self.made: dict[str, np.ndarray] = {}

    def single(self, node: onnx.NodeProto, doubled: bool) -> None:
        """A 1x1 convolution [N, C, h, w] -> [N, K, h, w]; of a ``doubled`` value, whose rows are there already."""
        n, k, h, w = self.shapes[node.output[0]]
        rows = self._rows_name(node.input[0]) if doubled else self._rows(node.input[0])
        made = self._product(
            node, self._weight(node.input[1], lambda x: x[:, :, 0, 0]), node.input[2:], rows, n * h * w, k
        )
        grid = (n, h // 2, w // 2, 2, 2, k) if doubled else (n, h, w, k)
        order = (0, 5, 1, 3, 2, 4) if doubled else (0, 3, 1, 2)
        pixels = self._node("Reshape", [made, self._numbers(grid)], f"{made}.pixels", grid)
        name = f"{made}.planes" if doubled else node.output[0]
        planes = self._node("Transpose", [pixels], name, tuple(grid[i] for i in order), perm=order)
        if doubled:
            self._node("Reshape", [planes, self._numbers((n, k, h, w))], node.output[0], (n, k, h, w))

    def transposed(self, node: onnx.NodeProto, activated: str) -> None:
        """A 2x2 transposed convolution of stride 2 and its Relu, to rows [N * h * w * 4, K] for ``activated``."""
        n, k, h, w = self.shapes[node.output[0]]
        count = n * h * w // 4
        weight = self._weight(node.input[1], lambda x: x.transpose(2, 3, 1, 0).reshape(4 * k, -1))  # of [C, K, 2, 2]
        bias = [self._weight(b, lambda x: np.tile(x, 4)) for b in node.input[2:]]
        made = self._product(node, weight, bias, self._rows(node.input[0]), count, 4 * k)
        relu = self._node("Relu", [made], f"{made}.relu", (count, 4 * k))
        rows = self._rows_name(activated)
        self._node("Reshape", [relu, self._numbers((4 * count, k))], rows, (4 * count, k))
        self.same |= {rows: activated, relu: activated}

    def finish(self) -> None:
        """Put the nodes and constants into the graph."""
        from onnx import helper, numpy_helper

        nodes = [type(n).FromString(n.SerializeToString()) for n in self.nodes]
        written = {o for n in nodes for o in n.output}
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        self.graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in self.made.items())
        drop_unused(self.graph)
        known = {v.name for v in [*self.graph.value_info, *self.graph.output]}
        for name in written - known:
            info = helper.make_tensor_value_info(name, 1, self.shapes[name])
            self.graph.value_info.append(info)

    def _product(self, node: onnx.NodeProto, weight: str, bias: Any, rows: str, count: int, width: int) -> str:
        made = f"{node.output[0]}.rows"
        self._node("Gemm", [rows, weight, *bias], made, (count, width), name=node.name, transB=1)
        self.same[made] = node.output[0]
        return made

    def _rows(self, value: str) -> str:
        """A value [N, C, h, w] as rows [N * h * w, C], made once."""
        rows = self._rows_name(value)
        if rows not in self.same:
            n, c, h, w = self.shapes[value]
            pixels = self._node("Transpose", [value], f"{value}.pixels", (n, h, w, c), perm=(0, 2, 3, 1))
            self._node("Reshape", [pixels, self._numbers((n * h * w, c))], rows, (n * h * w, c))
            self.same[rows] = value
        return rows

    @staticmethod
    def _rows_name(value: str) -> str:
        return f"{value}.in_rows"

    def _weight(self, name: str, change: Any) -> str:
        from onnx import numpy_helper

        changed = f"{name}.rows"
        if changed not in self.made:
            self.made[changed] = np.ascontiguousarray(change(numpy_helper.to_array(self.held[name])))
        return changed

    def _numbers(self, values: tuple[int, ...]) -> str:
        name = "rows." + "-".join(map(str, values))
        self.made[name] = np.array(values, np.int64)
        return name

    def _node(
        self, kind: str, inputs: list[str], output: str, shape: tuple[int, ...], name: str = "", **attributes: Any
    ) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], name or f"{output} {kind}", **attributes))
        self.shapes[output] = list(shape)
        return output

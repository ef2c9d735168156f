"""Large 3x3 convolutions by Winograd's F(4x4, 3x3) in native operators, for a runtime that has no such kernel.

A tile of 4x4 outputs takes 36 products a pair of channels where it takes 144 by definition (Lavin and Gray,
arXiv:1509.09308). onnxruntime's CPU kernels go by the definition; TensorRT chooses among algorithms of its own, so
what it is to run keeps its convolutions.
"""

from __future__ import annotations

import time
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.deployment.graph_shape import shapes_of
from edgekit.deployment.precision.features import constants_of
from edgekit.deployment.static_check import check_static
from edgekit.runtime.onnx_session import open_ort

if TYPE_CHECKING:
    import onnx

PREFIX = "winograd."  # of the constants' names
TILE = 4  # outputs a side
READ = TILE + 2  # inputs a side, which overlap the next tile's by 2
# Of smaller ones the transforms cost about what they save (docs/log.md).
LEAST_CHANNELS, LEAST_WORK = 96, 2e8  # in and out; multiply-adds of the whole convolution

# Y = AT [(G g GT) * (BT d B)] A for a tile d [6, 6], a filter g [3, 3] and outputs Y [4, 4]; the paper's section 4.3.
BT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
AT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
# The same on flattened tiles, filters and products.
TILES, FILTERS, OUTPUTS = (np.kron(m, m).astype(np.float32) for m in (BT, G, AT))


def use_winograd(graph: onnx.ModelProto) -> int:
    """Replace a static float32 graph's large 3x3 convolutions, in place; returns how many.

    Their weights stay in the graph under their names: a runtime transforms them when it loads it, to four times their
    size in memory. Results differ by rounding, some 1e-5 of the values' size.
    """
    shapes = shapes_of([*graph.graph.value_info, *graph.graph.input])
    held = constants_of(graph.graph)
    writer, count = _Writer(held), 0
    for node in graph.graph.node:
        if _large(node, shapes, held):
            writer.replace(node, shapes[node.input[0]], held[node.input[1]].dims[0])
            count += 1
        else:
            writer.nodes.append(node)
    if not count:
        return 0
    del graph.graph.node[:]
    graph.graph.node.extend(writer.nodes)
    graph.graph.initializer.extend(writer.made)
    check_static(graph)
    return count


def gains_here() -> bool:
    """Whether this machine's CPU runs a large convolution faster so, by timing one both ways in onnxruntime.

    It is the processor that decides: the narrower its vectors, the more time products take and the more this saves.
    """
    from onnx import TensorProto, helper, numpy_helper

    shape, weights = (1, 256, 60, 80), np.zeros((256, 256, 3, 3), np.float32)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], "conv", pads=[1] * 4)]
    graph = helper.make_graph(nodes, "one", values[:1], values[1:], [numpy_helper.from_array(weights, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    ways = [open_ort(model.SerializeToString(), "cpu", by_turns=True)]
    use_winograd(model)
    ways.append(open_ort(model.SerializeToString(), "cpu", by_turns=True))
    seconds: list[list[float]] = [[], []]
    for _ in range(5):
        for way, times in zip(ways, seconds, strict=True):
            began = time.perf_counter()
            way.run(None, {"x": np.ones(shape, np.float32)})
            times.append(time.perf_counter() - began)
    return min(seconds[1]) < 0.9 * min(seconds[0])


def uses_winograd(graph: onnx.ModelProto) -> bool:
    """Whether ``use_winograd`` replaced any convolution of a graph."""
    return any(t.name.startswith(PREFIX) for t in graph.graph.initializer)


def _large(node: onnx.NodeProto, shapes: dict[str, list[int]], held: dict[str, onnx.TensorProto]) -> bool:
    """Whether a node is a convolution that gains: 3x3 with a border of 1, all channels with all, of some size."""
    from onnx import helper

    if node.op_type != "Conv" or node.input[1] not in held:
        return False
    filters, channels, *kernel = held[node.input[1]].dims
    has = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    plain = (has.get("strides", [1, 1]), has.get("dilations", [1, 1]), has.get("group", 1)) == ([1, 1], [1, 1], 1)
    if kernel != [3, 3] or not plain or has.get("pads") != [1] * 4 or min(filters, channels) < LEAST_CHANNELS:
        return False
    return prod([9, filters, *shapes[node.input[0]]]) >= LEAST_WORK


class _Writer:
    """The nodes of a graph so far, and the constants made for them; those ``held`` already are used again."""

    def __init__(self, held: dict[str, onnx.TensorProto]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.made: list[onnx.TensorProto] = []
        self.names = set(held)

    def replace(self, node: onnx.NodeProto, shape: list[int], filters: int) -> None:
        """Write what computes a convolution of values [N, C, H, W] to [N, K, H, W].

        Channels lie below one another in one tall image, so that one convolution makes all tiles. Each is filled up
        with at least one row of zeros to a whole number of tiles: the border of its own last row and of the next
        channel's first.
        """
        n, c, h, w = shape
        k, down, across = filters, h // TILE + 1, -(-w // TILE)  # tiles a side
        tall, wide, tiles = TILE * down, TILE * across, down * across
        begin, border = node.output[0], READ - TILE - 1
        reading = self._constant("tiles", TILES.reshape(READ**2, 1, READ, READ))
        ends = [1, 1, border, wide - w + border]
        filled = self._node(begin, "Pad", node.input[0], self._numbers(0, 0, 0, 0, 0, 0, tall - h, 0))
        stacked = self._node(begin, "Reshape", filled, self._numbers(1, 1, n * c * tall, w))
        tiled = self._node(begin, "Conv", stacked, reading, strides=[TILE, TILE], pads=ends)
        inputs = self._node(begin, "Reshape", tiled, self._numbers(READ**2, n, c, tiles))
        products = self._node(begin, "MatMul", self._weights(begin, node.input[1], k, c), inputs)
        flat = self._node(begin, "Reshape", products, self._numbers(READ**2, n * k * tiles))
        summed = self._node(begin, "MatMul", self._constant("outputs", OUTPUTS), flat)
        split = self._node(begin, "Reshape", summed, self._numbers(1, TILE**2 * n * k, down, across))
        joined = self._node(begin, "DepthToSpace", split, blocksize=TILE, mode="DCR")
        images = self._node(begin, "Reshape", joined, self._numbers(n, k, tall, wide))
        corner = [self._numbers(0, 0), self._numbers(h, w), self._numbers(2, 3)]
        if len(node.input) < 3:
            self._node(begin, "Slice", images, *corner, output=begin)
            return
        bias = self._node(begin, "Reshape", node.input[2], self._numbers(k, 1, 1))
        self._node(begin, "Add", self._node(begin, "Slice", images, *corner), bias, output=begin)

    def _weights(self, begin: str, weight: str, filters: int, channels: int) -> str:
        """The transformed weights [36, 1, K, C]: of constants only, so that runtimes compute it once, on loading."""
        rows = self._node(begin, "Reshape", weight, self._numbers(filters * channels, 9))
        columns = self._node(begin, "Transpose", rows, perm=[1, 0])
        transformed = self._node(begin, "MatMul", self._constant("filters", FILTERS), columns)
        return self._node(begin, "Reshape", transformed, self._numbers(READ**2, 1, filters, channels))

    def _node(self, begin: str, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        name = output or f"{begin}.winograd.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], f"{name} {kind}", **attributes))
        return name

    def _numbers(self, *values: int) -> str:
        return self._constant("-".join(map(str, values)), np.array(values, np.int64))

    def _constant(self, name: str, values: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"{PREFIX}{name}"
        if name not in self.names:
            self.names.add(name)
            self.made.append(numpy_helper.from_array(values, name))
        return name

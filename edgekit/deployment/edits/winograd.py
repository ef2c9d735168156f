"""Large 3x3 convolutions by Winograd's F(4x4, 3x3) in native operators, for a runtime that has no such kernel.

A tile of 4x4 outputs takes 36 products a pair of channels where it takes 144 by definition (Lavin and Gray,
arXiv:1509.09308). onnxruntime's CPU kernels go by the definition; TensorRT chooses among algorithms of its own, so
what it is to run keeps its convolutions.
"""

from __future__ import annotations

import time
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from edgekit.deployment.edits.rewriting import Rewriting
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
    writer, count = _Writer(graph.graph, PREFIX), 0
    for node in graph.graph.node:
        if _large(node, writer.shapes, writer.held):
            writer.replace(node)
            count += 1
        else:
            writer.nodes.append(node)
    if count:
        writer.finish()
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


class _Writer(Rewriting):
    """Writes what computes a convolution by Winograd's method."""

    def replace(self, node: onnx.NodeProto) -> None:
        """Write a convolution of values [N, C, H, W] to [N, K, H, W], with channels last in between.

        Whoever gathers tiles, multiplies them and lays outputs side by side then moves whole rows of channels. What
        makes the tiles is a convolution in three dimensions, the third of which is the channels.
        """
        (n, c, h, w), k = self.shapes[node.input[0]], self.held[node.input[1]].dims[0]
        down, across = -(-h // TILE), -(-w // TILE)  # tiles a side
        tall, wide, tiles = TILE * down, TILE * across, n * down * across
        x = f"{node.output[0]}.winograd"
        border = READ - TILE - 1
        strides, ends = [TILE, TILE, 1], [1, 1, 0, tall - h + border, wide - w + border, 0]

        pixels = self.node("Transpose", [node.input[0]], f"{x}.pixels", (n, h, w, c), perm=[0, 2, 3, 1])
        volume = self._shaped(pixels, f"{x}.volume", n, 1, h, w, c)
        reading = self.constant("tiles", TILES.reshape(READ**2, 1, READ, READ, 1))
        grid = (down, across, c)
        tiled = self.node("Conv", [volume, reading], f"{x}.tiled", (n, READ**2, *grid), strides=strides, pads=ends)
        if n > 1:
            together = f"{tiled}.together"
            tiled = self.node("Transpose", [tiled], together, (READ**2, n, *grid), perm=[1, 0, 2, 3, 4])
        inputs = self._shaped(tiled, f"{x}.inputs", READ**2, tiles, c)
        weights = self._weights(node.input[1], k, c)
        products = self.node("MatMul", [inputs, weights], f"{x}.products", (READ**2, tiles, k))
        flat = self._shaped(products, f"{x}.products.flat", READ**2, tiles * k)
        outputs = self.constant("outputs", OUTPUTS)
        summed = self.node("MatMul", [outputs, flat], f"{x}.summed", (TILE**2, tiles * k))
        split = self._shaped(summed, f"{x}.summed.split", TILE, TILE, n, down, across, k)
        beside = (n, down, TILE, across, TILE, k)
        joined = self.node("Transpose", [split], f"{x}.joined", beside, perm=[2, 3, 0, 4, 1, 5])
        made = self._shaped(joined, f"{x}.images", n, tall, wide, k)
        if (tall, wide) != (h, w):
            corner = [self.numbers(0, 0), self.numbers(h, w), self.numbers(1, 2)]
            made = self.node("Slice", [made, *corner], f"{x}.cut", (n, h, w, k))
        for bias in node.input[2:]:
            made = self.node("Add", [made, bias], f"{x}.added", (n, h, w, k))
        self.node("Transpose", [made], node.output[0], (n, k, h, w), perm=[0, 3, 1, 2])

    def _shaped(self, value: str, name: str, *shape: int) -> str:
        return self.node("Reshape", [value, self.numbers(*shape)], name, shape)

    def _weights(self, weight: str, k: int, c: int) -> str:
        """The transformed weights [36, C, K]: of constants only, so that runtimes compute it once, on loading."""
        made = f"{weight}.winograd"
        if made not in self.shapes:
            turned = self.node("Transpose", [weight], f"{made}.turned", (3, 3, c, k), perm=[2, 3, 1, 0])
            rows = self._shaped(turned, f"{made}.rows", 9, c * k)
            filters = self.constant("filters", FILTERS)
            transformed = self.node("MatMul", [filters, rows], f"{made}.transformed", (READ**2, c * k))
            self._shaped(transformed, made, READ**2, c, k)
        return made

"""Large 3x3 convolutions by Winograd's F(4x4, 3x3) in native operators, for a runtime that has no such kernel.

A tile of 4x4 outputs takes 36 products a pair of channels where it takes 144 by definition (Lavin and Gray,
arXiv:1509.09308). onnxruntime's CPU kernels go by the definition; TensorRT chooses among algorithms of its own, so
what it is to run keeps its convolutions.
"""

from __future__ import annotations

import time
from math import prod

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from edgekit.graphs.editing import Replacement, constant, dims_in, editing, graph_of, is_weight
from edgekit.runtime.onnx_session import open_ort

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


def use_winograd(model: onnx.ModelProto) -> int:
    """Replace a static float32 graph's large 3x3 convolutions, in place; returns how many.

    Their weights stay in the graph under their names: a runtime transforms them when it loads it, to four times their
    size in memory. Results differ by rounding, some 1e-5 of the values' size.
    """
    if not any(map(_large, graph_of(model))):
        return 0
    with editing(model) as graph:
        large = [node for node in graph if _large(node)]
        transformed: dict[ir.Value, ir.Value] = {}  # weights
        for node in large:
            _replace(graph, node, transformed)
    return len(large)


def gains_here() -> bool:
    """Whether this machine's CPU runs a large convolution faster so, by timing one both ways in onnxruntime.

    It is the processor that decides: the narrower its vectors, the more time products take and the more this saves.
    """
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


def _large(node: ir.Node) -> bool:
    """Whether a node is a convolution that gains: 3x3 with a border of 1, all channels with all, of some size."""
    if node.op_type != "Conv" or not is_weight(node.inputs[1]):
        return False
    filters, channels, *kernel = dims_in(node.inputs[1])
    has = node.attributes
    ones = [*has.get_ints("strides", [1, 1]), *has.get_ints("dilations", [1, 1]), has.get_int("group", 1)] == [1] * 5
    border = list(has.get_ints("pads", [])) == [1] * 4
    if kernel != [3, 3] or not ones or not border or min(filters, channels) < LEAST_CHANNELS:
        return False
    return prod([9, filters, *dims_in(node.inputs[0])]) >= LEAST_WORK


def _replace(graph: ir.Graph, node: ir.Node, transformed: dict[ir.Value, ir.Value]) -> None:
    """Compute a convolution of values [N, C, H, W] to [N, K, H, W] with channels last in between.

    Whoever gathers tiles, multiplies them and lays outputs side by side then moves whole rows of channels. What makes
    the tiles is a convolution in three dimensions, the third of which is the channels.
    """
    new = Replacement(graph, node)
    (n, c, h, w), k = dims_in(node.inputs[0]), dims_in(node.inputs[1])[0]
    down, across = -(-h // TILE), -(-w // TILE)  # tiles a side
    tall, wide, tiles = TILE * down, TILE * across, n * down * across
    border = READ - TILE - 1
    ends = [1, 1, 0, tall - h + border, wide - w + border, 0]

    volume = new.reshape(new.transpose(node.inputs[0], 0, 2, 3, 1), n, 1, h, w, c)
    reading = constant(graph, f"{PREFIX}tiles", TILES.reshape(READ**2, 1, READ, READ, 1))
    tiled = new.op("Conv", volume, reading, strides=[TILE, TILE, 1], pads=ends)  # [N, 36, down, across, C]
    if n > 1:
        tiled = new.transpose(tiled, 1, 0, 2, 3, 4)
    inputs = new.reshape(tiled, READ**2, tiles, c)
    if node.inputs[1] not in transformed:
        transformed[node.inputs[1]] = _weights(new, node.inputs[1], k, c)
    products = new.op("MatMul", inputs, transformed[node.inputs[1]])  # [36, tiles, K]
    outputs = constant(graph, f"{PREFIX}outputs", OUTPUTS)
    summed = new.op("MatMul", outputs, new.reshape(products, READ**2, tiles * k))
    joined = new.transpose(new.reshape(summed, TILE, TILE, n, down, across, k), 2, 3, 0, 4, 1, 5)
    made = new.reshape(joined, n, tall, wide, k)
    if (tall, wide) != (h, w):
        made = new.op("Slice", made, new.numbers(0, 0), new.numbers(h, w), new.numbers(1, 2))
    for bias in node.inputs[2:]:
        made = new.op("Add", made, bias)
    new.finish(new.transpose(made, 0, 3, 1, 2))


def _weights(new: Replacement, weight: ir.Value, k: int, c: int) -> ir.Value:
    """The transformed weights [36, C, K]: of constants only, so that runtimes compute it once, on loading."""
    rows = new.reshape(new.transpose(weight, 2, 3, 1, 0), 9, c * k)
    filters = constant(new.graph, f"{PREFIX}filters", FILTERS)
    return new.reshape(new.op("MatMul", filters, rows), READ**2, c, k)

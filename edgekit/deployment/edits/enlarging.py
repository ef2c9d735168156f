"""Nearest-neighbour enlargement of 8-bit features as a copy of rows of channels, for a runtime that goes by value."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from edgekit.deployment.edits.graph_search import consumers
from edgekit.deployment.edits.rewriting import Rewriting

if TYPE_CHECKING:
    import onnx

PREFIX = "enlarging."  # of the constants' names
NEAREST = {"mode": b"nearest", "coordinate_transformation_mode": b"asymmetric", "nearest_mode": b"floor"}


def copy_rows(graph: onnx.GraphProto) -> None:
    """Replace each Resize of bytes between a DequantizeLinear and a QuantizeLinear of the same scale, in place.

    A cell that becomes a square of f times f cells is copied as a row of its channels, which lie side by side in the
    layout that onnxruntime's 8-bit convolutions take.
    """
    from onnx import TensorProto

    writer, readers = Rewriting(graph, PREFIX), consumers(graph)
    producers = {o: n for n in graph.node for o in n.output}
    for node in graph.node:
        value = _enlarged(node, producers, readers, writer.shapes)
        if value is None:
            writer.nodes.append(node)
            continue
        x, (n, c, h, w) = node.output[0], writer.shapes[value]
        f = writer.shapes[node.input[0]][2] // h
        made = partial(writer.node, data_type=TensorProto.UINT8)
        pixels = made("Transpose", [value], f"{x}.pixels", (n, h, w, c), perm=[0, 2, 3, 1])
        shape = (n, h, 1, w, 1, c)
        cells = made("Reshape", [pixels, writer.numbers(*shape)], f"{x}.cells", shape)
        squared = (n, h, f, w, f, c)
        squares = made("Expand", [cells, writer.numbers(*squared)], f"{x}.squares", squared)
        rows = (n, f * h, f * w, c)
        large = made("Reshape", [squares, writer.numbers(*rows)], f"{x}.large", rows)
        made("Transpose", [large], x, (n, c, f * h, f * w), perm=[0, 3, 1, 2])
    writer.finish()


def _enlarged(
    node: onnx.NodeProto,
    producers: dict[str, onnx.NodeProto],
    readers: dict[str, list[onnx.NodeProto]],
    shapes: dict[str, list[int]],
) -> str | None:
    """The 8-bit value [N, C, H, W] that a node makes larger by a whole factor, if it can be replaced."""
    from onnx import helper

    if node.op_type != "QuantizeLinear" or len(readers[node.input[0]]) > 1:
        return None
    resize = producers.get(node.input[0])
    if resize is None or resize.op_type != "Resize":
        return None
    before = producers.get(resize.input[0])
    if before is None or before.op_type != "DequantizeLinear" or before.input[1:] != node.input[1:]:
        return None
    has = {a.name: helper.get_attribute_value(a) for a in resize.attribute}
    (n, c, h, w), large = shapes[resize.input[0]], shapes[resize.output[0]]
    factor = large[2] // h
    whole = large == [n, c, factor * h, factor * w]
    return before.input[0] if whole and NEAREST.items() <= has.items() else None

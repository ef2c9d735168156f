"""Nearest-neighbour enlargement of 8-bit features as a copy of rows of channels, for a runtime that goes by value."""

from __future__ import annotations

import onnx_ir as ir

from edgekit.graphs.editing import Replacement, dims_in

NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


def copy_rows(graph: ir.Graph) -> None:
    """Replace each Resize of bytes between a DequantizeLinear and a QuantizeLinear of the same scale.

    A cell that becomes a square of f times f cells is copied as a row of its channels, which lie side by side in the
    layout that onnxruntime's 8-bit convolutions take.
    """
    for node in graph:
        value = _enlarged(node)
        if value is not None:
            n, c, h, w = dims_in(value)
            f = dims_in(node.outputs[0])[2] // h
            rows = Replacement(graph, node)
            cells = rows.reshape(rows.transpose(value, 0, 2, 3, 1), n, h, 1, w, 1, c)
            squares = rows.op("Expand", cells, rows.numbers(n, h, f, w, f, c))
            rows.finish(rows.transpose(rows.reshape(squares, n, f * h, f * w, c), 0, 3, 1, 2))


def _enlarged(node: ir.Node) -> ir.Value | None:
    """The 8-bit value [N, C, H, W] that a node makes larger by a whole factor, if it can be replaced."""
    if node.op_type != "QuantizeLinear" or len(node.inputs[0].uses()) > 1:
        return None
    resize = node.inputs[0].producer()
    if resize is None or resize.op_type != "Resize":
        return None
    before = resize.inputs[0].producer()
    if before is None or before.op_type != "DequantizeLinear" or before.inputs[1:] != node.inputs[1:]:
        return None
    (n, c, h, w), large = dims_in(resize.inputs[0]), dims_in(resize.outputs[0])
    factor = large[2] // h
    nearest = all(resize.attributes.get_string(key) == value for key, value in NEAREST.items())
    return before.inputs[0] if nearest and large == (n, c, factor * h, factor * w) else None

"""Nearest-neighbour enlargement of 8-bit features as a copy of rows of channels, for a runtime that goes by value."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from edgekit.deployment.features import consumers
from edgekit.deployment.rewriting import Rewriting

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
    found: dict[str, _Enlargement] = {}
    for node in graph.node:
        if node.op_type == "Resize":
            around = producers.get(node.input[0]), *readers.get(node.output[0], [])
            enlarged = _Enlargement.of(node, around, writer.shapes)
            found |= {enlarged.quantising: enlarged} if enlarged else {}
    for node in graph.node:
        if node.name not in found:
            writer.nodes.append(node)
            continue
        enlarged, x = found[node.name], node.output[0]
        (n, c, h, w), f = enlarged.shape, enlarged.factor
        made = partial(writer.node, data_type=TensorProto.UINT8)
        pixels = made("Transpose", [enlarged.value], f"{x}.pixels", (n, h, w, c), perm=[0, 2, 3, 1])
        shape = (n, h, 1, w, 1, c)
        cells = made("Reshape", [pixels, writer.numbers(*shape)], f"{x}.cells", shape)
        squared = (n, h, f, w, f, c)
        squares = made("Expand", [cells, writer.numbers(*squared)], f"{x}.squares", squared)
        rows = (n, f * h, f * w, c)
        large = made("Reshape", [squares, writer.numbers(*rows)], f"{x}.large", rows)
        made("Transpose", [large], x, (n, c, f * h, f * w), perm=[0, 3, 1, 2])
    writer.finish()


@dataclass(frozen=True)
class _Enlargement:
    """An 8-bit value [N, C, H, W] that is enlarged by a whole factor."""

    value: str
    shape: tuple[int, int, int, int]
    factor: int
    quantising: str  # the node that makes the large one

    @classmethod
    def of(
        cls, resize: onnx.NodeProto, around: tuple[onnx.NodeProto | None, ...], shapes: dict[str, list[int]]
    ) -> _Enlargement | None:
        """What a Resize between the nodes ``around`` it does, if it can be replaced."""
        from onnx import helper

        has = {a.name: helper.get_attribute_value(a) for a in resize.attribute}
        small, large = shapes[resize.input[0]], shapes[resize.output[0]]
        n, c, h, w = small
        factor = large[2] // h
        if large != [n, c, factor * h, factor * w] or not NEAREST.items() <= has.items():
            return None
        if len(around) != 2 or any(node is None for node in around):
            return None
        before, after = around
        assert before is not None
        assert after is not None
        kinds = (before.op_type, after.op_type)
        if kinds != ("DequantizeLinear", "QuantizeLinear") or before.input[1:] != after.input[1:]:
            return None
        return cls(before.input[0], (n, c, h, w), factor, after.name)

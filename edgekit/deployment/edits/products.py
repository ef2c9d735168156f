"""Convolutions of one pixel as matrix products of rows, and of a mask predictor's channels only each slot's own one.

A 1x1 convolution is one product of the pixels' channels. So is a transposed one of 2x2 with stride 2: each pixel gives
four, and what follows by pixel need not know where they lie. onnxruntime's CPU kernels run products of rows where they
would lay features out anew, and give those of 8 bits float results.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgekit.deployment.edits.graph_search import consumers, feature_nodes, layers
from edgekit.deployment.edits.rewriting import Rewriting

if TYPE_CHECKING:
    import onnx

PREFIX = "rows."  # of the constants' names


def use_products(
    graph: onnx.GraphProto, kept: frozenset[str] = frozenset(), eight_bits: bool = False
) -> dict[str, str]:
    """Make products of the 1x1 convolutions at the ends of features (scores, deltas), and of mask predictors.

    In place; a product has its convolution's name, and those named in ``kept`` stay convolutions. All weights stay as
    they are, under their names: a runtime puts them in a product's order when it loads the graph. What is to be
    quantised, ``eight_bits``, has them stored in that order. Returns the values made, each with the value of before
    that has the same numbers in another shape.
    """
    writer = _Writer(graph, eight_bits)
    at_ends = ends(graph, kept) - kept
    single = {n.name for n in graph.node if n.name in at_ends and writer.plain(n, [1, 1], [1, 1])}
    readers, producers = consumers(graph), {o: n for n in graph.node for o in n.output}
    outputs = {o.name for o in graph.output}
    found = [_Masks.of(n, readers, producers, outputs) for n in graph.node if n.op_type == "ConvTranspose"]
    masks = [m for m in found if m is not None]
    masks = [m for m in masks if m.logits.name in single and m.larger.name not in kept]
    masks = [m for m in masks if writer.plain(m.larger, [2, 2], [2, 2])]
    by_end = {m.own.name: m for m in masks}
    left_out = {n.name for m in masks for n in (m.larger, m.relu, m.logits)}
    for node in graph.node:
        if node.name in by_end:
            writer.masks(by_end[node.name])
        elif node.name in single - left_out:
            writer.single(node)
        elif node.name not in left_out:
            writer.nodes.append(node)
    writer.finish()
    return writer.same


def ends(graph: onnx.GraphProto, kept: frozenset[str]) -> frozenset[str]:
    """The convolutions whose numbers (scores, deltas, mask logits) are not features."""
    readers, between = consumers(graph), feature_nodes(graph)
    leading = between | ({x.node for x in layers(graph)} - kept)
    read = {n.name: {r.name for o in n.output for r in readers.get(o, [])} for n in graph.node if n.op_type == "Conv"}
    return frozenset(name for name, names in read.items() if not names & leading)


@dataclass(frozen=True)
class _Masks:
    """A mask predictor's nodes, and the channel [D] that it gives of each slot."""

    larger: onnx.NodeProto
    relu: onnx.NodeProto
    logits: onnx.NodeProto
    own: onnx.NodeProto
    channels: str

    @classmethod
    def of(
        cls,
        larger: onnx.NodeProto,
        readers: dict[str, list[onnx.NodeProto]],
        producers: dict[str, onnx.NodeProto],
        outputs: set[str],
    ) -> _Masks | None:
        """The predictor that begins with the node ``larger``, if it is one and nothing else reads its values."""
        nodes = [larger]
        for kind in ("Relu", "Conv", "GatherElements"):
            value = nodes[-1].output[0]
            after = readers.get(value, [])
            if value in outputs or [n.op_type for n in after] != [kind]:
                return None
            nodes.append(after[0])
        if nodes[-1].input[0] != nodes[-2].output[0]:
            return None
        expanded = producers[nodes[-1].input[1]]
        larger, relu, logits, own = nodes
        return cls(larger, relu, logits, own, producers[expanded.input[0]].input[0])


class _Writer(Rewriting):
    """``same`` are the values made that hold another's numbers."""

    def __init__(self, graph: onnx.GraphProto, eight_bits: bool) -> None:
        super().__init__(graph, PREFIX)
        self.eight_bits = eight_bits
        self.same: dict[str, str] = {}

    def plain(self, node: onnx.NodeProto, kernel: list[int], strides: list[int]) -> bool:
        """Whether a node is a convolution of all channels, so large, without border, of constant weights."""
        from onnx import helper

        if any(i not in self.held for i in node.input[1:]):
            return False
        has = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        ones = has.get("dilations", [1, 1]) == [1, 1] and has.get("group", 1) == 1
        border = any(has.get("pads", [])) or any(has.get("output_padding", []))
        asked = list(self.held[node.input[1]].dims[2:]) == kernel and has.get("strides", [1, 1]) == strides
        return asked and ones and not border

    def single(self, node: onnx.NodeProto) -> None:
        """A 1x1 convolution [N, C, h, w] -> [N, K, h, w]."""
        n, k, h, w = self.shapes[node.output[0]]
        weight = self._weight(node.input[1], (0, 1, 2, 3), (k, -1))
        made = self._product(node, weight, list(node.input[2:]), n * h * w, k)
        pixels = self.node("Reshape", [made, self.numbers(n, h, w, k)], f"{made}.pixels", (n, h, w, k))
        self.node("Transpose", [pixels], node.output[0], (n, k, h, w), perm=(0, 3, 1, 2))

    def masks(self, predictor: _Masks) -> None:
        """A mask predictor [D, C, h, w] -> [D, 1, 2 h, 2 w], by a transposed convolution of 2x2 with stride 2."""
        larger, logits, own = predictor.larger, predictor.logits, predictor.own
        d, k, height, width = self.shapes[larger.output[0]]
        h, w = height // 2, width // 2
        weight = self._weight(larger.input[1], (2, 3, 1, 0), (4 * k, -1))  # of [C, K, 2, 2]
        made = self._product(larger, weight, [self._four_times(b) for b in larger.input[2:]], d * h * w, 4 * k)
        rows, shape = made, (d, 4 * h * w, k)
        if not self.eight_bits:  # onnxruntime fuses it with the product before it, but as floats
            rows = self.node("Relu", [rows], f"{made}.relu", (d * h * w, 4 * k))
        rows = self.node("Reshape", [rows, self.numbers(*shape)], f"{made}.slots", shape)
        if self.eight_bits:
            rows = self.node("Relu", [rows], f"{made}.relu", shape)
        picked = self._of_slots(logits.input[1], predictor.channels, (d, k, 1))
        value = self.node("MatMul", [rows, picked], f"{own.output[0]}.rows", (d, 4 * h * w, 1), name=logits.name)
        for bias in logits.input[2:]:
            added = self._of_slots(bias, predictor.channels, (d, 1, 1))
            value = self.node("Add", [value, added], f"{value}.added", (d, 4 * h * w, 1))
        grid = self.node("Reshape", [value, self.numbers(d, h, w, 2, 2)], f"{value}.grid", (d, h, w, 2, 2))
        planes = self.node("Transpose", [grid], f"{value}.planes", (d, h, 2, w, 2), perm=(0, 1, 3, 2, 4))
        masks = (d, 1, height, width)
        self.node("Reshape", [planes, self.numbers(*masks)], own.output[0], masks, name=own.name)

    def _product(self, node: onnx.NodeProto, weight: str, bias: list[str], count: int, width: int) -> str:
        made = f"{node.output[0]}.rows"
        rows = self._rows(node.input[0])
        self.node("Gemm", [rows, weight, *bias], made, (count, width), name=node.name, transB=1)
        self.same[made] = node.output[0]
        return made

    def _rows(self, value: str) -> str:
        """A value [N, C, h, w] as rows [N * h * w, C], made once."""
        rows = f"{value}.in_rows"
        if rows not in self.shapes:
            n, c, h, w = self.shapes[value]
            pixels = self.node("Transpose", [value], f"{value}.pixels", (n, h, w, c), perm=(0, 2, 3, 1))
            self.node("Reshape", [pixels, self.numbers(n * h * w, c)], rows, (n * h * w, c))
        self.same[rows] = value
        return rows

    def _weight(self, name: str, order: tuple[int, ...], shape: tuple[int, int]) -> str:
        """A weight with its axes in another order, as a matrix."""
        from onnx import numpy_helper

        changed, dims = f"{name}.rows", [self.held[name].dims[i] for i in order]
        if self.eight_bits:
            array = numpy_helper.to_array(self.held[name]).transpose(order).reshape(shape)
            return self.weight(changed, np.ascontiguousarray(array))
        if changed not in self.shapes:
            turned = self.node("Transpose", [name], f"{name}.turned", dims, perm=order)
            rows = shape[0]
            self.node("Reshape", [turned, self.numbers(*shape)], changed, (rows, int(np.prod(dims)) // rows))
        return changed

    def _four_times(self, name: str) -> str:
        """A bias [K] four times: [4 K]."""
        from onnx import numpy_helper

        changed, count = f"{name}.rows", self.held[name].dims[0]
        if self.eight_bits:
            return self.weight(changed, np.tile(numpy_helper.to_array(self.held[name]), 4))
        if changed not in self.shapes:
            self.node("Concat", [name] * 4, changed, (4 * count,), axis=0)
        return changed

    def _of_slots(self, weight: str, channels: str, shape: tuple[int, ...]) -> str:
        """Each slot's row of a weight or bias."""
        name = f"{weight}.of.{channels}"
        dims = (shape[0], *self.held[weight].dims[1:])
        picked = self.node("Gather", [weight, channels], name, dims, axis=0)
        return self.node("Reshape", [picked, self.numbers(*shape)], f"{name}.shaped", shape)

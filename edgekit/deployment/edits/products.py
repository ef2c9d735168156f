"""Convolutions of one pixel as matrix products of rows, and of a mask predictor's channels only each slot's own one.

A 1x1 convolution is one product of the pixels' channels. So is a transposed one of 2x2 with stride 2: each pixel gives
four, and what follows by pixel need not know where they lie. onnxruntime's CPU kernels run products of rows where they
would lay features out anew, and give those of 8 bits float results.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgekit.deployment.edits.layers import feature_nodes, layers
from edgekit.graphs.editing import Replacement, constant, dims_in, is_weight


def use_products(graph: ir.Graph, kept: frozenset[str] = frozenset(), eight_bits: bool = False) -> dict[str, str]:
    """Make products of the 1x1 convolutions at the ends of features (scores, deltas), and of mask predictors.

    A product has its convolution's name, and those named in ``kept`` stay convolutions. All weights stay as they are,
    under their names: a runtime puts them in a product's order when it loads the graph. What is to be quantised,
    ``eight_bits``, has them stored in that order. Returns the values made, each with the value of before that has the
    same numbers in another shape.
    """
    at_ends = ends(graph, kept) - kept
    single = [n for n in graph if n.name in at_ends and _plain(n, 1)]
    larger = [n for n in graph if n.op_type == "ConvTranspose" and n.name not in kept and _plain(n, 2)]
    masks = [m for m in map(_MaskPredictor.of, larger) if m is not None and m.logits in single]
    in_masks = [m.logits for m in masks]
    products = _Products(graph, eight_bits)
    for node in single:
        if node not in in_masks:
            products.single(node)
    for predictor in masks:
        products.masks(predictor)
    return products.same


def ends(graph: ir.Graph, kept: frozenset[str]) -> frozenset[str]:
    """The convolutions whose numbers (scores, deltas, mask logits) are not features."""
    leading = feature_nodes(graph) | ({x.node for x in layers(graph)} - kept)
    convolutions = [n for n in graph if n.op_type == "Conv"]
    return frozenset(n.name for n in convolutions if not leading & {r.name for r in n.outputs[0].consumers()})


@dataclass(frozen=True)
class _MaskPredictor:
    """A mask predictor's nodes, and the channel [D] that it gives of each slot."""

    larger: ir.Node
    relu: ir.Node
    logits: ir.Node
    own: ir.Node
    channels: ir.Value

    @classmethod
    def of(cls, larger: ir.Node) -> _MaskPredictor | None:
        """The predictor that begins with the node ``larger``, if it is one and nothing else reads its values."""
        nodes = [larger]
        for kind in ("Relu", "Conv", "GatherElements"):
            value = nodes[-1].outputs[0]
            after = value.consumers()
            if value.is_graph_output() or [n.op_type for n in after] != [kind] or after[0].inputs[0] is not value:
                return None
            nodes.append(after[0])
        larger, relu, logits, own = nodes
        expanded = own.inputs[1].producer()
        return cls(larger, relu, logits, own, expanded.inputs[0].producer().inputs[0])


def _plain(node: ir.Node, side: int) -> bool:
    """Whether a node is a convolution of all channels, of ``side`` x ``side`` and strides, of constant weights."""
    has = node.attributes
    border = any(has.get_ints("pads", ())) or any(has.get_ints("output_padding", ()))
    ones = list(has.get_ints("dilations", [1, 1])) == [1, 1] and has.get_int("group", 1) == 1
    strides = list(has.get_ints("strides", [1, 1])) == [side, side]
    weights = all(is_weight(i) for i in node.inputs[1:]) and dims_in(node.inputs[1])[2:] == (side, side)
    return weights and strides and ones and not border


class _Products:
    """Writes products; ``same`` are the values made that hold another's numbers."""

    def __init__(self, graph: ir.Graph, eight_bits: bool) -> None:
        self.graph, self.eight_bits = graph, eight_bits
        self.same: dict[str, str] = {}
        self.made: dict[str, ir.Value] = {}  # what several products read

    def single(self, node: ir.Node) -> None:
        """Replace a 1x1 convolution [N, C, h, w] -> [N, K, h, w]."""
        new = Replacement(self.graph, node)
        n, k, h, w = dims_in(node.outputs[0])
        made = self._product(new, self._weight(new, (0, 1, 2, 3), k), list(node.inputs[2:]))
        new.finish(new.transpose(new.reshape(made, n, h, w, k), 0, 3, 1, 2))

    def masks(self, predictor: _MaskPredictor) -> None:
        """Replace a mask predictor [D, C, h, w] -> [D, 1, 2 h, 2 w], by a transposed convolution of 2x2, stride 2."""
        larger, logits = predictor.larger, predictor.logits
        new = Replacement(self.graph, larger)
        d, k, height, width = dims_in(larger.outputs[0])
        h, w = height // 2, width // 2
        weight = self._weight(new, (2, 3, 1, 0), 4 * k)  # of [C, K, 2, 2]
        rows = self._product(new, weight, [self._four_times(new, b) for b in larger.inputs[2:]])
        if not self.eight_bits:  # onnxruntime fuses it with the product before it, but as floats
            rows = new.op("Relu", rows)
        rows = new.reshape(rows, d, 4 * h * w, k)
        if self.eight_bits:
            rows = new.op("Relu", rows)
        new.node = predictor.own  # by then the channels are known
        channels = predictor.channels
        picked = new.reshape(new.op("Gather", logits.inputs[1], channels, axis=0), d, k, 1)
        value = new.op("MatMul", rows, picked, name=logits.name)
        for bias in logits.inputs[2:]:
            value = new.op("Add", value, new.reshape(new.op("Gather", bias, channels, axis=0), d, 1, 1))
        planes = new.transpose(new.reshape(value, d, h, w, 2, 2), 0, 1, 3, 2, 4)
        new.finish(new.reshape(planes, d, 1, height, width, name=predictor.own.name))

    def _product(self, new: Replacement, weight: ir.Value, bias: list[ir.Value]) -> ir.Value:
        """The product of the node's input, as rows, with a weight."""
        made = new.node.outputs[0].name
        rows = self._rows(new, new.node.inputs[0])
        self.same[f"{made}.rows"] = made
        return new.op("Gemm", rows, weight, *bias, value=f"{made}.rows", name=new.node.name, transB=1)

    def _rows(self, new: Replacement, value: ir.Value) -> ir.Value:
        """A value [N, C, h, w] as rows [N * h * w, C]."""
        name = f"{value.name}.in_rows"
        if name not in self.made:
            n, c, h, w = dims_in(value)
            self.made[name] = new.reshape(new.transpose(value, 0, 2, 3, 1), n * h * w, c, value=name)
        self.same[name] = value.name
        return self.made[name]

    def _weight(self, new: Replacement, order: tuple[int, ...], rows: int) -> ir.Value:
        """The node's weight with its axes in another order, as a matrix of so many rows."""
        weight = new.node.inputs[1]
        name = f"{weight.name}.rows"
        if self.eight_bits:
            array = weight.const_value.numpy().transpose(order).reshape(rows, -1)
            return constant(self.graph, name, np.ascontiguousarray(array))
        if name not in self.made:
            self.made[name] = new.reshape(new.transpose(weight, *order), rows, -1, value=name)
        return self.made[name]

    def _four_times(self, new: Replacement, bias: ir.Value) -> ir.Value:
        """A bias [K] four times: [4 K]."""
        name = f"{bias.name}.rows"
        if self.eight_bits:
            return constant(self.graph, name, np.tile(bias.const_value.numpy(), 4))
        if name not in self.made:
            self.made[name] = new.op("Concat", *[bias] * 4, value=name, axis=0)
        return self.made[name]

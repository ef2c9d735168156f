"""Counts the multiply-adds of a graph's matrix products, by kind of node, and how many of them are done in 8 bits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import onnx

from edgekit.artifacts.graph_shapes import shapes_of


def multiply_adds(model: onnx.ModelProto) -> Counter[str]:
    """The multiply-adds of one run, by kind of node."""
    sums: Counter[str] = Counter()
    for node, count in work_by_node(model):
        sums[node.op_type] += count
    return sums


def eight_bit_share(model: onnx.ModelProto) -> float:
    """The share of a graph's multiply-adds, 0..1, whose operands both come from 8 bits (DequantizeLinear)."""
    dequantised = {n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    total = in_eight_bits = 0
    for node, count in work_by_node(model):
        total += count
        in_eight_bits += count if dequantised.issuperset(node.input[:2]) else 0
    return in_eight_bits / total if total else 0.0


def work_by_node(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, int]]:
    """The nodes that are matrix products, each with its multiply-adds in one run.

    What depends on constants alone is computed once, when the graph is loaded, and is left out.
    """
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {t.name: list(t.dims) for t in graph.initializer}
    shapes |= shapes_of([*graph.value_info, *graph.input, *graph.output])
    constant = {t.name for t in graph.initializer}
    for node in graph.node:
        if constant.issuperset(node.input):
            constant.update(node.output)
        elif node.op_type == "Conv":
            yield node, math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
        elif node.op_type == "ConvTranspose":
            yield node, math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])
        elif node.op_type == "Gemm":
            yield node, math.prod(shapes[node.output[0]]) * _inner(node, shapes[node.input[0]])
        elif node.op_type == "MatMul":
            yield node, math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _inner(node: onnx.NodeProto, first: list[int]) -> int:
    """The length of the rows that a Gemm multiplies; ``first`` is the shape of its first operand."""
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return first[0] if transposed else first[1]

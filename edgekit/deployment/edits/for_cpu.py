"""A graph as onnxruntime's CPU kernels run it fastest."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import onnx_ir as ir

from edgekit.deployment.edits.products import use_products
from edgekit.deployment.edits.winograd import use_winograd
from edgekit.graphs.editing import editing
from edgekit.graphs.static_check import check_static


def rewrite_for_cpu(model: onnx.ModelProto) -> None:
    """Rewrite a float32 graph, in place, if one of its convolutions is large enough to gain.

    All weights stay as they are, under their names.
    """
    rewrite_parts_for_cpu({"": model})


def rewrite_parts_for_cpu(parts: Mapping[str, onnx.ModelProto]) -> bool:
    """Rewrite the float32 graphs of one model, in place, if a convolution gains; returns whether one does."""
    gains = [use_winograd(part) for part in parts.values()]
    if any(gains):
        for part in parts.values():
            with editing(part) as graph:
                use_products(graph)
                join_at_once(graph)
            check_static(part)
    return any(gains)


def rewrite_for_8_bits(model: onnx.ModelProto, kept: frozenset[str]) -> dict[str, str]:
    """Rewrite what is to be quantised for a CPU, in place; see ``use_products``."""
    with editing(model) as graph:
        join_at_once(graph)
        return use_products(graph, kept, eight_bits=True)


def join_at_once(graph: ir.Graph) -> None:
    """Have each Concat take the parts of those it joins; they come in groups because of a limit that GPUs have."""
    for node in graph:
        if node.op_type == "Concat":
            parts: list[ir.Value | None] = []
            for value in node.inputs:
                inner = value.producer()
                same = inner is not None and inner.op_type == "Concat" and _axis(inner) == _axis(node)
                parts += inner.inputs if same else [value]
            node.resize_inputs(len(parts))
            for place, value in enumerate(parts):
                node.replace_input_with(place, value)


def _axis(node: ir.Node) -> int | None:
    return node.attributes.get_int("axis")

"""A graph as onnxruntime's CPU kernels run it fastest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.deployment.edits.products import use_products
from edgekit.deployment.edits.rewriting import Rewriting
from edgekit.deployment.edits.static_check import check_static
from edgekit.deployment.edits.winograd import use_winograd

if TYPE_CHECKING:
    import onnx


def rewrite_for_cpu(graph: onnx.ModelProto) -> None:
    """Rewrite a float32 graph, in place, if one of its convolutions is large enough to gain.

    All weights stay as they are, under their names.
    """
    if use_winograd(graph):
        use_products(graph.graph)
        join_at_once(graph.graph)
        check_static(graph)


def rewrite_for_8_bits(graph: onnx.GraphProto, kept: frozenset[str]) -> dict[str, str]:
    """Rewrite what is to be quantised for a CPU, in place; see ``use_products``."""
    join_at_once(graph)
    return use_products(graph, kept, eight_bits=True)


def join_at_once(graph: onnx.GraphProto) -> None:
    """Have each Concat take the parts of those it joins; they come in groups because of a limit that GPUs have."""
    from onnx import helper

    writer = Rewriting(graph, "")
    parts: dict[str, list[str]] = {}
    for source in graph.node:
        node = source
        if source.op_type == "Concat":
            axis = helper.get_node_attr_value(source, "axis")
            node = type(source).FromString(source.SerializeToString())
            node.input[:] = [i for name in source.input for i in parts.get(f"{name} {axis}", [name])]
            parts[f"{source.output[0]} {axis}"] = list(node.input)
        writer.nodes.append(node)
    writer.finish()

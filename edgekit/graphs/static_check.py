"""A check that every runtime takes a graph: static shapes, no plugins, no node of a kind that TensorRT lacks."""

from __future__ import annotations

import onnx

FORBIDDEN = ("NonZero", "NonMaxSuppression", "RoiAlign", "If", "Loop", "Scan")
NATIVE = ("", "ai.onnx")  # domains of nodes


def check_static(graph: onnx.ModelProto) -> None:
    """Raise RuntimeError if a graph is invalid, has a value of unknown shape or a node that TensorRT cannot run: one
    of a kind that it lacks or of a domain that only a plugin knows."""
    onnx.checker.check_model(graph)
    borders = [*graph.graph.input, *graph.graph.output]
    found = [n.op_type for n in graph.graph.node if n.op_type in FORBIDDEN or n.domain not in NATIVE]
    dynamic = [v.name for v in graph.graph.value_info if any(d.dim_param for d in v.type.tensor_type.shape.dim)]
    dynamic += [v.name for v in borders if any(d.dim_value < 1 for d in v.type.tensor_type.shape.dim)]
    if found or dynamic:
        raise RuntimeError(f"the graph is not static: nodes {found}, dynamic values {dynamic}")

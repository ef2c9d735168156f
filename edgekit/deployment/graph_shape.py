"""How many canvases, proposals and detections a graph was exported for, read from its shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.artifacts import ModelMeta

if TYPE_CHECKING:
    import onnx


def canvases_of(graph: onnx.ModelProto) -> int:
    """How many canvases a run takes."""
    return int(graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value)


def limits_of(graph: onnx.ModelProto, meta: ModelMeta) -> tuple[int | None, int]:
    """The proposals of a canvas, None where the graph does not name them (one of others), and the detection slots of
    the base model, which are those that every generation was to have."""
    values = [*graph.graph.value_info, *graph.graph.output]
    found = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
    proposals = found["trunk.proposals"][0] if "trunk.proposals" in found else None
    if "until.0.scores" in found:  # later generations were appended, which may have fewer: few proposals, few classes
        return proposals, found["until.0.scores"][1]
    generations = len(meta.group_sizes) + bool(meta.reserved)
    return proposals, found["scores"][1] // generations

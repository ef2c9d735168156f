"""The shapes of a static graph's values, and the canvases, proposals and detections it was exported for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.value_names import LABELS, PROPOSALS, SCORES, of_generation

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class GraphShape:
    """The form of a graph; where a number is None, the model's own is used, and ``overlaps`` is "keep"."""

    size: tuple[int, int] | None = None  # of the input: height, width
    batch: int = 1  # images per run
    proposals: int | None = None  # per image
    detections: int | None = None  # slots per generation
    sampling_cells: int | None = None  # that a bin of adaptive RoIAlign reads
    overlaps: str | None = None  # "one": leave one label per object, by emptying slots

    @property
    def input_size(self) -> tuple[int, int]:
        """``size`` where it is known."""
        assert self.size is not None
        return self.size


def dims_of(value: onnx.ValueInfoProto) -> list[int]:
    """A value's shape; 0 for a size that is not fixed."""
    return [d.dim_value for d in value.type.tensor_type.shape.dim]


def shapes_of(values: Iterable[onnx.ValueInfoProto]) -> dict[str, list[int]]:
    """The shapes of values, by name."""
    return {v.name: dims_of(v) for v in values}


def canvases_of(graph: onnx.ModelProto) -> int:
    """How many images one run takes."""
    return dims_of(graph.graph.input[0])[0]


def has_int32_labels(graph: onnx.ModelProto) -> bool:
    """Whether a graph's labels are int32."""
    int32 = 6  # onnx.TensorProto.INT32
    return any(o.name == LABELS and o.type.tensor_type.elem_type == int32 for o in graph.graph.output)


def limits_of(graph: onnx.ModelProto, meta: ModelMeta) -> tuple[int | None, int]:
    """The proposals per image, None where the graph does not name them (it is not edgekit's), and the detection slots
    of the base model, which are those that every generation was to have."""
    found = shapes_of([*graph.graph.value_info, *graph.graph.output])
    proposals = found[PROPOSALS][0] if PROPOSALS in found else None
    if (base := of_generation(0, SCORES)) in found:  # other generations were appended
        return proposals, found[base][1]
    return proposals, found[SCORES][1] // len(meta.group_sizes)

"""Make a graph give its labels as int32, for programs that know no int64 tensors, as DeepStream's nvinfer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.deployment.edits.static_check import check_static
from edgekit.errors import EdgekitError

if TYPE_CHECKING:
    import onnx

LABEL_TYPES = ("int64", "int32")


def set_label_type(graph: onnx.ModelProto, label_type: str | None) -> None:
    """Make a graph's labels ``label_type`` (None: what they are), in place."""
    has_int32 = has_int32_labels(graph)
    if label_type is None or has_int32 == (label_type == "int32"):
        return
    if has_int32:
        raise EdgekitError("--labels int64: the graph's are int32 already", "export it from its checkpoint")
    _cast_labels(graph)
    check_static(graph)


def has_int32_labels(graph: onnx.ModelProto) -> bool:
    """Whether a graph's labels are int32."""
    from onnx import TensorProto

    return any(o.name == "labels" and o.type.tensor_type.elem_type == TensorProto.INT32 for o in graph.graph.output)


def _cast_labels(graph: onnx.ModelProto) -> None:
    from onnx import TensorProto, helper

    wide = "labels.int64"
    labels = next(o for o in graph.graph.output if o.name == "labels")
    inner = graph.graph.value_info.add()
    inner.CopyFrom(labels)
    inner.name = wide
    labels.type.tensor_type.elem_type = TensorProto.INT32
    for node in graph.graph.node:
        for names in (node.input, node.output):
            names[:] = [wide if name == "labels" else name for name in names]
    graph.graph.node.append(helper.make_node("Cast", [wide], ["labels"], "labels_int32", to=TensorProto.INT32))

"""Make a graph give its labels as int32, for programs that know no int64 tensors, such as DeepStream's nvinfer."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from edgekit.artifacts.value_names import LABELS
from edgekit.deployment.edits.editing import editing
from edgekit.deployment.edits.static_check import check_static
from edgekit.errors import EdgekitError

LABEL_TYPES = ("int64", "int32")


def set_label_type(model: onnx.ModelProto, label_type: str | None) -> None:
    """Make a graph's labels ``label_type`` (None: what they are), in place."""
    has_int32 = has_int32_labels(model)
    if label_type is None or has_int32 == (label_type == "int32"):
        return
    if has_int32:
        raise EdgekitError("--labels int64: the graph's are int32 already", "export it from its checkpoint")
    with editing(model) as graph:
        place, wide = next((i, o) for i, o in enumerate(graph.outputs) if o.name == LABELS)
        wide.name = f"{LABELS}.int64"
        narrow = ir.val(LABELS, ir.DataType.INT32, wide.shape)
        graph.append(ir.node("Cast", [wide], {"to": ir.DataType.INT32}, outputs=[narrow], name="labels_int32"))
        graph.outputs[place] = narrow
    check_static(model)


def has_int32_labels(model: onnx.ModelProto) -> bool:
    """Whether a graph's labels are int32."""
    return any(o.name == LABELS and o.type.tensor_type.elem_type == onnx.TensorProto.INT32 for o in model.graph.output)

"""Make a graph give its labels as int32, for programs that know no int64 tensors, such as DeepStream's nvinfer."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from edgekit.artifacts.graph_shapes import has_int32_labels
from edgekit.artifacts.value_names import LABELS
from edgekit.errors import EdgekitError
from edgekit.graphs.editing import editing
from edgekit.graphs.static_check import check_static

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

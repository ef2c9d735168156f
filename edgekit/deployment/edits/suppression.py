"""NMS's matrix products in half precision, without a changed bit, for GPUs that have none in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.artifacts.graph_shapes import shapes_of
from edgekit.deployment.edits.graph_search import consumers

if TYPE_CHECKING:
    import onnx

EXACT = 2048  # float16 holds every whole number up to this one


def counts_in_half(model: onnx.ModelProto) -> int:
    """Rewrite the products of NMS's rounds (static/nms.py) in place; returns how many there were.

    Both sides hold zeros and ones, and a sum of at most ``EXACT`` ones is exact in float16, so the results stay.
    TensorRT-RTX 1.7 has no float32 matrix product for compute capability 7.5.
    """
    from onnx import TensorProto, helper

    readers = consumers(model.graph)
    lengths = shapes_of(model.graph.value_info)
    halved: dict[str, str] = {}
    nodes, found = [], 0
    for node in model.graph.node:
        if not _is_round(node, readers, lengths):
            nodes.append(node)
            continue
        for index, name in enumerate(node.input):
            if name not in halved:
                halved[name] = f"{name}.half"
                nodes.append(helper.make_node("Cast", [name], [halved[name]], to=TensorProto.FLOAT16))
            node.input[index] = halved[name]
        count = node.output[0]
        node.output[0] = f"{count}.half"
        nodes += [node, helper.make_node("Cast", [node.output[0]], [count], to=TensorProto.FLOAT)]
        found += 1
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return found


def _is_round(node: onnx.NodeProto, readers: dict[str, list[onnx.NodeProto]], lengths: dict[str, list[int]]) -> bool:
    """Whether a node is ``keep @ suppresses`` of ``keep = (row - keep @ suppresses).relu()``."""
    if node.op_type != "MatMul" or not 0 < (lengths.get(node.output[0]) or [0])[-1] <= EXACT:
        return False
    after = readers.get(node.output[0], [])
    if len(after) != 1 or after[0].op_type != "Sub" or after[0].input[1] != node.output[0]:
        return False
    return [n.op_type for n in readers.get(after[0].output[0], [])] == ["Relu"]

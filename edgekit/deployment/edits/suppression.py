"""NMS's matrix products in half precision, without a changed bit, for GPUs that have none in float32."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from edgekit.graphs.editing import Replacement, dims_in, editing

EXACT = 2048  # float16 holds every whole number up to this one


def counts_in_half(model: onnx.ModelProto) -> int:
    """Rewrite the products of NMS's rounds (static/nms.py) in place; returns how many there were.

    Both sides hold zeros and ones, and a sum of at most ``EXACT`` ones is exact in float16, so the results stay.
    TensorRT-RTX 1.7 has no float32 matrix product for compute capability 7.5.
    """
    halved: dict[ir.Value, ir.Value] = {}
    with editing(model) as graph:
        rounds = [node for node in graph if _is_round(node)]
        for node in rounds:
            half = Replacement(graph, node)
            for value in node.inputs:
                if value not in halved:
                    halved[value] = half.op("Cast", value, value=f"{value.name}.half", to=ir.DataType.FLOAT16)
            count = half.op("MatMul", *(halved[value] for value in node.inputs), name=node.name)
            half.finish(half.op("Cast", count, to=ir.DataType.FLOAT))
    return len(rounds)


def _is_round(node: ir.Node) -> bool:
    """Whether a node is ``keep @ suppresses`` of ``keep = (row - keep @ suppresses).relu()``."""
    count = node.outputs[0]
    if node.op_type != "MatMul" or dims_in(count)[-1] > EXACT:
        return False
    after = count.consumers()
    if [n.op_type for n in after] != ["Sub"] or after[0].inputs[1] is not count:
        return False
    return [n.op_type for n in after[0].outputs[0].consumers()] == ["Relu"]

"""Nearest-neighbour enlargement in 8 bits as a copy of rows: the same values, and what stays a Resize."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.deployment.edits.enlarging import copy_rows
from edgekit.graphs.editing import editing
from edgekit.runtime.onnx_session import open_ort

SHAPE = (2, 5, 3, 4)


def model(
    sides: tuple[int, int] = (6, 8), second_scale: float = 0.5, twice: bool = False, **changes: str
) -> onnx.ModelProto:
    """A value of 8 bits enlarged to ``sides`` between DequantizeLinear and QuantizeLinear; ``twice`` reads it again."""
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"} | changes
    large = [*SHAPE[:2], *sides]
    held = {
        "scale": np.float32(0.5),
        "other": np.float32(second_scale),
        "zero": np.uint8(7),
        "sizes": np.array(large, np.int64),
    }
    second = "scale" if second_scale == 0.5 else "other"
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "scale", "zero"], ["small"], "dq"),
        helper.make_node("Resize", ["small", "", "", "sizes"], ["large"], "resize", **how),
        helper.make_node("QuantizeLinear", ["large", second, "zero"], ["y"], "q"),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.UINT8, large)]
    if twice:
        nodes.append(helper.make_node("Relu", ["large"], ["z"], "relu"))
        outputs.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, large))
    graph = helper.make_graph(
        nodes,
        "enlarges",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, SHAPE)],
        outputs,
        [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return onnx.shape_inference.infer_shapes(made, strict_mode=True)


def run(graph: onnx.ModelProto) -> np.ndarray:
    x = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    return open_ort(graph.SerializeToString(), "cpu", optimised=False).run(["y"], {"x": x})[0]


@pytest.mark.parametrize("sides", [(6, 8), (9, 12)])
def test_same_values(sides: tuple[int, int]) -> None:
    graph = model(sides)
    expected = run(graph)
    with editing(graph) as edited:
        copy_rows(edited)
    onnx.checker.check_model(graph)
    assert {n.op_type for n in graph.graph.node} == {"Transpose", "Reshape", "Expand"}
    assert (run(graph) == expected).all()


@pytest.mark.parametrize(
    "graph",
    [
        model(sides=(6, 9)),
        model(sides=(5, 8)),
        model(second_scale=0.25),
        model(twice=True),
        model(mode="linear"),
        model(nearest_mode="ceil"),
        model(coordinate_transformation_mode="half_pixel"),
    ],
)
def test_others_stay(graph: onnx.ModelProto) -> None:
    before = [(n.op_type, n.input, n.output) for n in graph.graph.node]
    with editing(graph) as edited:
        copy_rows(edited)
    assert [(n.op_type, n.input, n.output) for n in graph.graph.node] == before

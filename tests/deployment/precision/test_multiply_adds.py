from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.deployment.precision.multiply_adds import eight_bit_share, multiply_adds

CONV = 4 * 8 * 8 * 3 * 3 * 3  # [1, 3, 8, 8] to four channels, by 3x3
GEMM = 256 * 5


def model(conv_inputs: list[str], more: list[onnx.NodeProto]) -> onnx.ModelProto:
    """A convolution and a product behind it; ``more`` nodes make the convolution's inputs."""
    arrays = {
        "weight": np.ones((4, 3, 3, 3), np.float32),
        "weight_8": np.ones((4, 3, 3, 3), np.int8),
        "matrix": np.ones((256, 5), np.float32),
        "step": np.array(0.5, np.float32),
        "zero": np.array(0, np.int8),
    }
    nodes = [
        *more,
        helper.make_node("Conv", conv_inputs, ["y"], pads=[1, 1, 1, 1]),
        helper.make_node("Flatten", ["y"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix"], ["out"]),
        helper.make_node("MatMul", ["matrix", "of_constants"], ["folded"]),
    ]
    arrays["of_constants"] = np.ones((5, 100), np.float32)
    graph = helper.make_graph(
        nodes,
        "two layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(a, n) for n, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


WEIGHT = helper.make_node("DequantizeLinear", ["weight_8", "step", "zero"], ["w"])
INPUT = [
    helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["x_8"]),
    helper.make_node("DequantizeLinear", ["x_8", "step", "zero"], ["x_of_8"]),
]


def test_products_are_counted_but_not_those_of_constants() -> None:
    assert multiply_adds(model(["x", "weight"], [])) == {"Conv": CONV, "Gemm": GEMM}


@pytest.mark.parametrize(
    ("inputs", "nodes", "share"),
    [
        (["x", "weight"], [], 0.0),
        (["x_of_8", "w"], [*INPUT, WEIGHT], CONV / (CONV + GEMM)),
        (["x_of_8", "weight"], INPUT, 0.0),  # a layer that is kept behind one that is not
        (["x", "w"], [WEIGHT], 0.0),  # small in the file, computed in float32
    ],
)
def test_8_bits_are_those_of_both_operands(inputs: list[str], nodes: list[onnx.NodeProto], share: float) -> None:
    assert eight_bit_share(model(inputs, nodes)) == pytest.approx(share)

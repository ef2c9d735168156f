from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.deployment.precision.products import use_products

CHANNELS, HEIGHT, WIDTH = 5, 3, 4


def node(kind: str, name: str, value: str, shape: tuple[int, ...], **attributes: object) -> tuple[onnx.NodeProto, list]:
    """A convolution with random weights and a bias, by which its value has the name of the node."""
    rng = np.random.default_rng(len(name))
    outputs = shape[1] if kind == "ConvTranspose" else shape[0]
    held = {f"{name}.weight": rng.normal(size=shape), f"{name}.bias": rng.normal(size=outputs)}
    made = helper.make_node(kind, [value, *held], [name], name, **attributes)
    return made, [numpy_helper.from_array(v.astype(np.float32), k) for k, v in held.items()]


def model(*more: str) -> onnx.ModelProto:
    """A 1x1 convolution of "x", and a transposed one whose Relu two 1x1 convolutions read; ``more`` are outputs too."""
    parts = [
        node("Conv", "scores", "x", (7, CHANNELS, 1, 1)),
        node("Conv", "wide", "x", (7, CHANNELS, 3, 3), pads=[1] * 4),
        node("ConvTranspose", "larger", "x", (CHANNELS, 6, 2, 2), strides=[2, 2]),
        (helper.make_node("Relu", ["larger"], ["active"], "relu"), []),
        node("Conv", "one", "active", (3, 6, 1, 1)),
        node("Conv", "another", "active", (2, 6, 1, 1)),
    ]
    outputs = ["scores", "wide", "one", "another", *more]
    graph = helper.make_graph(
        [n for n, _ in parts],
        "pixels",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, CHANNELS, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
        [tensor for _, held in parts for tensor in held],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    made = onnx.shape_inference.infer_shapes(made, strict_mode=True)
    made.graph.value_info.extend(made.graph.output)
    return made


def run(graph: onnx.ModelProto, outputs: list[str]) -> list[np.ndarray]:
    x = np.random.default_rng(0).normal(size=(2, CHANNELS, HEIGHT, WIDTH)).astype(np.float32)
    return ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"]).run(outputs, {"x": x})


ENDS = frozenset({"scores", "wide", "one", "another"})
OUTPUTS = ["scores", "wide", "one", "another"]


def test_products_give_what_the_convolutions_do() -> None:
    graph = model()
    expected = run(graph, OUTPUTS)
    same = use_products(graph.graph, ENDS, frozenset())
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(graph, strict_mode=True))
    kinds = Counter(n.op_type for n in graph.graph.node)
    assert (kinds["Gemm"], kinds["Conv"], kinds["ConvTranspose"]) == (4, 1, 0), "3x3 stays"
    for seen, right in zip(run(graph, OUTPUTS), expected, strict=True):
        np.testing.assert_allclose(seen, right, rtol=1e-5, atol=1e-5)
    assert {n.name for n in graph.graph.node if n.op_type == "Gemm"} == {"scores", "larger", "one", "another"}
    values = {i for n in graph.graph.node if n.op_type == "Gemm" for i in n.input[:1]}
    assert {same[v] for v in values} == {"x", "active"}, "their ranges are known"


@pytest.mark.parametrize(
    ("single", "kept", "more", "left"),
    [
        ({"scores"}, {"scores"}, [], {"scores", "wide", "larger", "one", "another"}),
        ({"one", "another"}, {"another"}, [], {"scores", "wide", "larger", "another"}),
        ({"one"}, set(), [], {"scores", "wide", "larger", "another"}),
        ({"one", "another"}, {"larger"}, [], {"scores", "wide", "larger"}),
        ({"one", "another"}, set(), ["active"], {"scores", "wide", "larger"}),
    ],
)
def test_stays_a_convolution(single: set[str], kept: set[str], more: list[str], left: set[str]) -> None:
    graph = model(*more)
    expected = run(graph, OUTPUTS)
    use_products(graph.graph, frozenset(single), frozenset(kept))
    assert {n.name for n in graph.graph.node if n.op_type.startswith("Conv")} == left
    for seen, right in zip(run(graph, OUTPUTS), expected, strict=True):
        np.testing.assert_allclose(seen, right, rtol=1e-5, atol=1e-5)

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from edgekit.deployment.precision.fold import fold_norms

X = np.random.default_rng(0).normal(size=(1, 4, 6, 6)).astype(np.float32)


def graph(nodes: list[onnx.NodeProto], outputs: list[str], **weights: np.ndarray) -> onnx.ModelProto:
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
        [numpy_helper.from_array(w.astype(np.float32), n) for n, w in weights.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(model: onnx.ModelProto) -> list[np.ndarray]:
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": X})


def drawn(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def check(model: onnx.ModelProto, kinds: list[str]) -> onnx.ModelProto:
    folded = fold_norms(model)
    assert [n.op_type for n in folded.graph.node] == kinds
    for before, after in zip(run(model), run(folded), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)
    return folded


def test_product_and_sum_become_weight_and_bias() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "a.weight"], ["c"], "conv"),
        helper.make_node("Mul", ["c", "scale"], ["m"], "mul"),
        helper.make_node("Add", ["m", "shift"], ["y"], "add"),
    ]
    weights = {"a.weight": drawn(3, 4, 3, 3), "scale": drawn(1, 3, 1, 1), "shift": drawn(1, 3, 1, 1)}
    folded = check(graph(nodes, ["y"], **weights), ["Conv"])
    assert list(folded.graph.node[0].input) == ["x", "a.weight", "a.bias"]
    assert {t.name for t in folded.graph.initializer} == {"a.weight", "a.bias"}


def test_grouped_transposed_convolution_with_a_bias() -> None:
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w", "b"], ["c"], "conv", group=2),
        helper.make_node("Mul", ["scale", "c"], ["y"], "mul"),
    ]
    check(graph(nodes, ["y"], w=drawn(4, 3, 2, 2), b=drawn(6), scale=drawn(6, 1, 1)), ["ConvTranspose"])


def test_a_weight_shared_by_two_norms_becomes_two() -> None:
    nodes = []
    for n in "pq":
        nodes.append(helper.make_node("Conv", ["x", "w.weight"], [f"c{n}"], f"conv{n}"))
        nodes.append(helper.make_node("Mul", [f"c{n}", f"s{n}"], [f"y{n}"], f"mul{n}"))
    weights = {"w.weight": drawn(3, 4, 1, 1), "sp": drawn(3, 1, 1), "sq": drawn(3, 1, 1, seed=2)}
    folded = check(graph(nodes, ["yp", "yq"], **weights), ["Conv", "Conv"])
    assert len({n.input[1] for n in folded.graph.node}) == 2


def test_what_is_no_norm_stays() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("Mul", ["c", "by_column"], ["y"], "mul"),
        helper.make_node("Add", ["c", "y"], ["z"], "add"),
    ]
    check(graph(nodes, ["z"], w=drawn(3, 4, 1, 1), by_column=drawn(6)), ["Conv", "Mul", "Add"])

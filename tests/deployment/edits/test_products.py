"""Convolutions of one pixel as products: what is replaced, what stays, and that the numbers do."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.deployment.edits.products import ends, use_products
from edgekit.graphs.editing import editing, graph_of

CHANNELS, HEIGHT, WIDTH, SLOTS, CLASSES = 5, 3, 4, 2, 7


def layer(
    kind: str, name: str, value: str, shape: tuple[int, ...], **attributes: object
) -> tuple[onnx.NodeProto, list]:
    """A convolution with random weights and a bias, by which its value has the name of the node."""
    rng = np.random.default_rng(len(name))
    outputs = shape[1] if kind == "ConvTranspose" else shape[0]
    held = {f"{name}.weight": rng.normal(size=shape), f"{name}.bias": rng.normal(size=outputs)}
    made = helper.make_node(kind, [value, *held], [name], name, **attributes)
    return made, [numpy_helper.from_array(v.astype(np.float32), k) for k, v in held.items()]


def model(*more: str) -> onnx.ModelProto:
    """Two 1x1 convolutions of "x", one that leads to a third; and masks; ``more`` are outputs too."""
    numbers = {"ones": [SLOTS, 1, 1, 1], "side": [SLOTS, 1, 2 * HEIGHT, 2 * WIDTH]}
    held = [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in numbers.items()]
    parts = [
        layer("Conv", "scores", "x", (7, CHANNELS, 1, 1)),
        layer("Conv", "wide", "x", (7, CHANNELS, 3, 3), pads=[1] * 4),
        layer("Conv", "between", "x", (6, CHANNELS, 1, 1)),
        layer("Conv", "last", "between", (3, 6, 1, 1)),
        layer("ConvTranspose", "larger", "x", (CHANNELS, 6, 2, 2), strides=[2, 2]),
        (helper.make_node("Relu", ["larger"], ["active"], "relu"), []),
        layer("Conv", "logits", "active", (CLASSES, 6, 1, 1)),
        (helper.make_node("Reshape", ["channels", "ones"], ["of slots"], "reshape"), held),
        (helper.make_node("Expand", ["of slots", "side"], ["of cells"], "expand"), []),
        (helper.make_node("GatherElements", ["logits", "of cells"], ["own"], "gather", axis=1), []),
    ]
    outputs = ["scores", "wide", "last", "own", *more]
    graph = helper.make_graph(
        [n for n, _ in parts],
        "pixels",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [SLOTS, CHANNELS, HEIGHT, WIDTH]),
            helper.make_tensor_value_info("channels", TensorProto.INT64, [SLOTS]),
        ],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
        [tensor for _, held in parts for tensor in held],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    made = onnx.shape_inference.infer_shapes(made, strict_mode=True)
    made.graph.value_info.extend(made.graph.output)
    return made


OUTPUTS = ["scores", "wide", "last", "own"]


def run(graph: onnx.ModelProto) -> list[np.ndarray]:
    x = np.random.default_rng(0).normal(size=(SLOTS, CHANNELS, HEIGHT, WIDTH)).astype(np.float32)
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(OUTPUTS, {"x": x, "channels": np.array([4, 0])})


def check_same(graph: onnx.ModelProto, expected: list[np.ndarray]) -> None:
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(graph, strict_mode=True))
    for seen, right in zip(run(graph), expected, strict=True):
        np.testing.assert_allclose(seen, right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("eight_bits", [False, True])
def test_products_give_what_the_convolutions_do(eight_bits: bool) -> None:
    graph = model()
    expected, before = run(graph), {t.name: t.raw_data for t in graph.graph.initializer}
    assert ends(graph_of(graph), frozenset()) == {"scores", "wide", "last", "logits"}
    with editing(graph) as edited:
        same = use_products(edited, eight_bits=eight_bits)
    check_same(graph, expected)
    kinds = Counter(n.op_type for n in graph.graph.node)
    assert (kinds["Gemm"], kinds["Conv"], kinds["ConvTranspose"], kinds["GatherElements"]) == (3, 2, 0, 0)
    assert kinds["Expand"] == 0, "nothing reads it any more"
    assert {n.name for n in graph.graph.node if n.op_type == "Gemm"} == {"scores", "last", "larger"}
    values = {i for n in graph.graph.node if n.op_type == "Gemm" for i in n.input[:1]}
    assert {same[v] for v in values} == {"x", "between"}, "their ranges are known"
    after = {t.name: t.raw_data for t in graph.graph.initializer}
    weights = {n: v for n, v in before.items() if n.endswith((".weight", ".bias"))}
    assert (weights.items() <= after.items()) != eight_bits


@pytest.mark.parametrize(
    ("kept", "more", "left"),
    [
        ({"scores"}, [], {"scores", "wide", "between"}),
        ({"last"}, [], {"wide", "last"}),  # "between" is an end then
        ({"logits"}, [], {"wide", "between", "larger", "logits"}),
        ({"larger"}, [], {"wide", "between", "larger"}),
        (set(), ["active"], {"wide", "between", "larger"}),
    ],
)
def test_stays_a_convolution(kept: set[str], more: list[str], left: set[str]) -> None:
    graph = model(*more)
    expected = run(graph)
    with editing(graph) as edited:
        use_products(edited, frozenset(kept))
    assert {n.name for n in graph.graph.node if n.op_type.startswith("Conv")} == left
    check_same(graph, expected)

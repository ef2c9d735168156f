"""What is rewritten for CPUs beyond single layers."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgekit.deployment.edits.for_cpu import join_at_once
from edgekit.graphs.editing import editing
from edgekit.runtime.onnx_session import open_ort


def test_concats_of_concats_are_one() -> None:
    nodes = [
        helper.make_node("Concat", ["a", "b"], ["ab"], "first", axis=0),
        helper.make_node("Concat", ["b", "a"], ["wide"], "other axis", axis=1),
        helper.make_node("Concat", ["ab", "c", "ab"], ["all"], "second", axis=0),
        helper.make_node("Concat", ["wide", "wide"], ["both"], "third", axis=0),
    ]
    values = {"a": [2, 3], "b": [2, 3], "c": [1, 3], "all": [9, 3], "both": [4, 6]}
    infos = {k: helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in values.items()}
    graph = helper.make_graph(nodes, "joins", [infos[n] for n in "abc"], [infos["all"], infos["both"]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    given = {n: np.random.default_rng(0).normal(size=values[n]).astype(np.float32) for n in "abc"}
    expected = open_ort(model.SerializeToString(), "cpu", optimised=False).run(None, given)
    with editing(model) as edited:
        join_at_once(edited)
    onnx.checker.check_model(model)
    joined = {n.name: list(n.input) for n in model.graph.node}
    assert joined == {"second": list("abcab"), "other axis": ["b", "a"], "third": ["wide", "wide"]}
    for seen, right in zip(
        open_ort(model.SerializeToString(), "cpu", optimised=False).run(None, given), expected, strict=True
    ):
        assert (seen == right).all()

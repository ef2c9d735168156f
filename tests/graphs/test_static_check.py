from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import helper

from edgekit.graphs.static_check import check_static
from tests.tiny_detector import write_tiny_detector


def test_a_native_static_graph_passes(tmp_path: Path) -> None:
    check_static(onnx.load(write_tiny_detector(tmp_path / "x.onnx")))


@pytest.mark.parametrize(
    ("node", "named"),
    [
        (helper.make_node("Own", ["flat"], ["y"], domain="theirs"), "Own"),  # a plugin's
        (helper.make_node("NonZero", ["flat"], ["y"]), "NonZero"),
    ],
)
def test_a_node_that_tensorrt_lacks_is_named(node: onnx.NodeProto, named: str, tmp_path: Path) -> None:
    graph = onnx.load(write_tiny_detector(tmp_path / "x.onnx"))
    graph.graph.node.append(node)
    with pytest.raises(RuntimeError, match=named):
        check_static(graph)


@pytest.mark.parametrize(("place", "name"), [("input", "images"), ("output", "boxes")])
@pytest.mark.parametrize("dimension", [None, "N"])
def test_a_dimension_without_a_value_is_named(place: str, name: str, dimension: str | None, tmp_path: Path) -> None:
    graph = onnx.load(write_tiny_detector(tmp_path / "x.onnx"))
    first = getattr(graph.graph, place)[0].type.tensor_type.shape.dim[0]
    first.Clear()
    if dimension:
        first.dim_param = dimension
    with pytest.raises(RuntimeError, match=name):
        check_static(graph)

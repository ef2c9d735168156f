from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from edgekit.artifacts.graph_shapes import canvases_of, limits_of
from edgekit.artifacts.onnx_files import read_onnx
from tests.tiny_detector import META, SLOTS, write_tiny_detector


def test_limits_of_a_model_and_of_a_graph_made_from_it(adapted_onnx: Path) -> None:
    assert limits_of(*read_onnx(adapted_onnx)) == (64, 6)  # the embedded model's own


def test_slots_of_a_generation_are_the_base_models(tmp_path: Path) -> None:
    """A later generation of one class may have fewer, with few proposals: the next one is not to have the mean."""
    graph = onnx.load(write_tiny_detector(tmp_path / "x.onnx"))
    assert limits_of(graph, replace(META, generations=META.generations[:1])) == (None, SLOTS)
    earlier = helper.make_tensor_value_info("generations.0.scores", TensorProto.FLOAT, [1, 2])
    proposals = helper.make_tensor_value_info("trunk.proposals", TensorProto.FLOAT, [9, 4])
    graph.graph.value_info.extend([earlier, proposals])
    assert limits_of(graph, META) == (9, 2)


def test_canvases(tmp_path: Path) -> None:
    assert canvases_of(onnx.load(write_tiny_detector(tmp_path / "x.onnx", batch=3))) == 3

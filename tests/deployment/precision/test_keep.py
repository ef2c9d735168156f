from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgekit.deployment.edits.graph_search import layers, matching
from edgekit.deployment.precision.keep import Found, difference, find_keep


def found(scores: list[float], shift: float = 0.0, label: int = 1) -> Found:
    boxes = np.array([[40 * i + shift, 0, 40 * i + 30 + shift, 30] for i in range(len(scores))], np.float32)
    masks = np.ones((len(scores), 28, 28), np.float32)
    return boxes.reshape(-1, 4), np.full(len(scores), label), np.array(scores, np.float32), masks


def test_difference_of_detections() -> None:
    ours = found([0.9, 0.8])
    assert difference([ours], [ours]) == 0
    assert difference([ours], [found([0.9])]) == pytest.approx(0.5)  # one of two lost
    assert difference([found([0.9])], [ours]) == pytest.approx(0.5)  # one of two new
    assert difference([ours], [found([0.9, 0.8], label=2)]) == 1
    assert difference([found([0.6])], [found([0.9])]) == pytest.approx(0.1)  # a third of the score's 0.3
    assert difference([found([0.9])], [found([0.9], shift=3)]) == pytest.approx((1 - 27 / 33) / 3, abs=1e-6)
    assert difference([found([0.31])], [found([0.29])]) < 0.01  # near the bound is no loss
    assert difference([found([])], [found([])]) == 0


def test_the_wrecked_block_is_kept_and_no_other(fp32: onnx.ModelProto, canvases: list[np.ndarray]) -> None:
    """A "precision" that zeroes the mask predictor's weights and leaves all else as it was."""

    def build(keep: tuple[str, ...]) -> onnx.ModelProto:
        made = onnx.ModelProto()
        made.CopyFrom(fp32)
        kept = matching(fp32.graph, keep)
        lost = {x.weight for x in layers(fp32.graph) if x.block == "predictors" and x.node not in kept}
        for tensor in made.graph.initializer:
            if tensor.name in lost:
                array = numpy_helper.to_array(tensor)
                tensor.CopyFrom(numpy_helper.from_array(0 * array, tensor.name))
        return made

    search = find_keep(fp32, build, canvases[:2])
    assert search.kept == ("predictors",)
    assert search.of_all > 0.3
    assert search.difference == 0
    assert next(iter(search.of_block)) == "predictors"
    assert sum(v > 0 for v in search.of_block.values()) == 1


def test_nothing_is_kept_where_nothing_differs(fp32: onnx.ModelProto, canvases: list[np.ndarray]) -> None:
    search = find_keep(fp32, lambda _keep: fp32, canvases[:1])
    assert (search.kept, search.of_all, search.of_block) == ((), 0.0, {})

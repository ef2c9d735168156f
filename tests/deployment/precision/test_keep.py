from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgekit.deployment.edits.layers import blocks, layers
from edgekit.deployment.precision.keep import Found, difference, find_keep
from edgekit.graphs.editing import graph_of


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


def without_masks(fp32: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with the mask predictor's weights at zero, and all else as it was."""
    made = onnx.ModelProto()
    made.CopyFrom(fp32)
    lost = {x.weight for x in layers(graph_of(fp32)) if x.block == "predictors"}
    for tensor in made.graph.initializer:
        if tensor.name in lost:
            tensor.CopyFrom(numpy_helper.from_array(0 * numpy_helper.to_array(tensor), tensor.name))
    return made


def test_the_wrecked_block_is_kept_and_no_other(fp32: onnx.ModelProto, canvases: list[np.ndarray]) -> None:
    wrecked = without_masks(fp32)

    def build(keep: tuple[str, ...]) -> onnx.ModelProto:
        return fp32 if "predictors" in keep else wrecked

    search = find_keep(fp32, build, canvases[:2])
    assert search.kept == ("predictors",)
    assert search.of_all > 0.3
    assert search.difference == 0
    assert next(iter(search.of_block)) == "predictors"
    assert sum(v > 0 for v in search.of_block.values()) == 1


def test_a_block_that_only_seemed_to_cost_is_dropped_again(fp32: onnx.ModelProto, canvases: list[np.ndarray]) -> None:
    """The RPN costs as much as the predictors where all else is kept, and nothing otherwise."""
    wrecked, all_but_rpn = without_masks(fp32), set(blocks(graph_of(fp32))) - {"rpn"}

    def build(keep: tuple[str, ...]) -> onnx.ModelProto:
        return fp32 if "predictors" in keep and set(keep) != all_but_rpn else wrecked

    search = find_keep(fp32, build, canvases[:2])
    assert list(search.of_block)[:2] == ["rpn", "predictors"]
    assert (search.kept, search.difference) == (("predictors",), 0)


def test_nothing_is_kept_where_nothing_differs(fp32: onnx.ModelProto, canvases: list[np.ndarray]) -> None:
    search = find_keep(fp32, lambda _keep: fp32, canvases[:1])
    assert (search.kept, search.of_all, search.of_block) == ((), 0.0, {})

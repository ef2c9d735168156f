"""What is learned from a view's RoIs: crowds, and which RoIs teach masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torchvision.models.detection._utils import BoxCoder

from edgekit.adaptation.features.rois import IGNORED, ViewFeatures, view_features
from edgekit.adaptation.features.views import View

SIZE = 320
CODER = BoxCoder((10.0, 10.0, 5.0, 5.0))


class Proposing:
    """A trunk that proposes the same boxes in any picture."""

    key = runtime = "none"

    def __init__(self, proposals: list[list[float]]) -> None:
        self.proposals = np.array(proposals, np.float32).reshape(-1, 4)

    def look(self, _pixels: np.ndarray) -> tuple[Any, np.ndarray]:
        return None, self.proposals

    def box_features(self, _levels: Any, boxes: np.ndarray) -> np.ndarray:
        return np.repeat(boxes.mean(axis=1, keepdims=True), 8, axis=1)

    def mask_features(self, _levels: Any, boxes: np.ndarray) -> np.ndarray:
        return np.zeros((len(boxes), 2, 14, 14), np.float32)


def seen(
    proposals: list[list[float]],
    objects: list[list[int]],
    labels: list[int],
    crowds: list[list[float]] | None = None,
    first_mask: int = 1,
    has_mask: list[bool] | None = None,
) -> ViewFeatures:
    masks = np.zeros((len(objects), SIZE, SIZE), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, objects, strict=True):
        mask[y0:y1, x0:x1] = True
    boxes = np.array(objects, np.float32).reshape(-1, 4)
    regions = np.array(crowds or [], np.float32).reshape(-1, 4)
    masked = np.array(has_mask or [True] * len(objects), bool)
    pixels, numbers = np.zeros((SIZE, SIZE, 3), np.uint8), np.array(labels, np.int64)
    view = View(pixels, boxes, numbers, masks, has_mask=masked, drawn=masked, crowds=regions)
    return view_features(Proposing(proposals), CODER, view, np.random.default_rng(0), first_mask)


def test_a_small_roi_in_a_crowd_says_nothing() -> None:
    inside, half_out, outside = [50, 50, 90, 90], [0, 50, 20, 90], [311, 50, 319, 90]
    found = seen([inside, half_out, outside], [], [], crowds=[[5, 10, 305, 210]])
    assert found.labels.tolist() == [IGNORED, IGNORED, 0]


def test_an_object_in_a_crowd_is_one_to_learn() -> None:
    assert seen([[50, 50, 90, 90]], [[50, 50, 90, 90]], [13], crowds=[[5, 10, 305, 210]]).labels.tolist() == [13, 13]


def test_only_new_classes_take_up_the_rois_for_masks() -> None:
    old = [[10 + i, 10, 50 + i, 50] for i in range(30)]
    new = [[100, 100, 150, 150]]
    found = seen([[float(v) for v in box] for box in old], [*old, *new], [3] * 30 + [13], first_mask=13)
    assert found.mask_labels.tolist() == [13]
    assert (found.labels == 3).sum() > 12  # their boxes are learned from all the same


def test_without_old_objects_the_draws_are_the_same() -> None:
    boxes = [[10 + i, 10, 50 + i, 50] for i in range(30)]
    first, all_ = (seen([], boxes, [13] * 30, first_mask=f) for f in (13, 1))
    assert len(first.mask_labels) == 12
    assert torch.equal(first.mask_targets, all_.mask_targets)


def test_an_object_without_a_mask_teaches_its_box_only() -> None:
    masked, boxed = [50, 50, 90, 90], [150, 150, 190, 190]
    near = [[52.0, 50.0, 92.0, 90.0], [152.0, 150.0, 192.0, 190.0]]
    found = seen(near, [masked, boxed], [13, 14], has_mask=[True, False])
    assert found.labels.tolist() == [13, 14, 13, 14]
    assert found.mask_labels.tolist() == [13, 13]
    assert (found.deltas[[1, 3]].abs().sum(1) > 0).tolist() == [False, True]

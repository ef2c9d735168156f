from __future__ import annotations

import numpy as np

from edgekit.comparison.pairing import mask_iou
from edgekit.comparison.parity import parity
from edgekit.comparison.retention import retention
from edgekit.data.detections import Detections
from edgekit.data.masks import Crop


def found(scores: list[float], labels: list[int], shift: float = 0.0) -> Detections:
    boxes = np.array([[20 * i + shift, 0, 20 * i + 15 + shift, 15] for i in range(len(scores))], np.float32)
    masks = np.zeros((len(scores), 28, 28), np.float32)
    return Detections(boxes.reshape(-1, 4), np.array(labels), np.array(scores, np.float32), masks, (100, 100))


def test_retention_counts_every_kind_of_change() -> None:
    before = found([0.9, 0.8, 0.7], [1, 2, 1])
    assert retention([(before, before)], 13).changed == 0
    one_score = found([0.9, np.nextafter(np.float32(0.8), 1), 0.7], [1, 2, 1])
    assert retention([(before, one_score)], 13).changed == 1
    assert retention([(before, found([0.9, 0.8], [1, 2]))], 13).changed == 1
    assert retention([(before, found([0.9, 0.8, 0.7], [1, 2, 1], shift=1))], 13).changed == 3


def test_retention_pairs_what_overlaps() -> None:
    before = found([0.9, 0.8], [1, 1])
    result = retention([(before, before.select(np.array([1])))], 13)  # the first one is gone, the second stays
    assert (result.compared, result.changed, result.lost, result.added) == (2, 1, 1, 0)
    assert result.largest_box_difference == 0
    result = retention([(before.select(np.array([1])), before)], 13)
    assert (result.compared, result.changed, result.lost, result.added) == (2, 1, 0, 1)
    result = retention([(before, found([0.9, 0.8], [1, 2]))], 13)
    assert (result.compared, result.changed, result.lost, result.added) == (3, 2, 1, 1)


def test_retention_looks_at_the_order_too() -> None:
    before = found([0.9, 0.8], [1, 1])
    result = retention([(before, before.select(np.array([1, 0])))], 13)
    assert (result.changed, result.lost, result.largest_box_difference) == (2, 0, 0)


def test_retention_compares_masks() -> None:
    before, after = found([0.9], [1]), found([0.9], [1])
    after.masks[0, 3, 3] = 1e-7
    assert retention([(before, after)], 13).changed == 1


def test_retention_looks_at_old_labels_only() -> None:
    before, after = found([0.9], [1]), found([0.9, 0.5], [1, 13])
    result = retention([(before, after)], 13)
    assert (result.compared, result.changed) == (1, 0)


def test_parity_matches_within_tolerance() -> None:
    reference = found([0.9, 0.8, 0.2], [1, 2, 1])
    close = found([0.9005, 0.8, 0.2], [1, 2, 1])
    assert parity([(reference, close)]).matched == 2  # 0.2 is below the score that counts
    assert parity([(reference, found([0.91, 0.8], [1, 2]))]).matched == 1
    assert parity([(reference, found([0.9, 0.8], [1, 3]))]).matched == 1
    assert parity([(reference, found([0.9, 0.8], [1, 2], shift=1))]).matched == 0


def test_parity_counts_what_only_the_other_has() -> None:
    result = parity([(found([0.9], [1]), found([0.9, 0.8, 0.3004], [1, 2, 1]))])
    assert (result.compared, result.matched, result.extra) == (
        1,
        1,
        1,
    )  # 0.3004 may be below the bound in the reference
    assert (result.matched_share, result.extra_share) == (1.0, 0.5)
    assert not result.reaches(0.99)
    assert result.reaches(0.5)


def test_parity_looks_at_masks() -> None:
    reference, other = found([0.9, 0.8], [1, 2]), found([0.9, 0.8], [1, 2])
    reference.masks[:] = 1
    other.masks[0], other.masks[1, :, :14] = 1, 1
    result = parity([(reference, other)])
    assert (result.compared, result.matched) == (2, 1)
    assert result.smallest_mask_iou is not None
    assert 0.4 < result.smallest_mask_iou < 0.65
    assert result.mean_mask_iou is not None
    assert result.mean_mask_iou == (1 + result.smallest_mask_iou) / 2


def test_masks_that_do_not_meet_have_no_iou() -> None:
    full = np.ones((4, 5), bool)
    assert mask_iou(Crop(0, 0, full), Crop(10, 10, full)) == 0
    assert mask_iou(Crop(2, 1, full), Crop(2, 1, full)) == 1
    assert mask_iou(Crop(0, 0, full), Crop(2, 0, full)) == 10 / 30

"""Compares two models' detections within a tolerance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edgekit.comparison.pairing import mask_iou, paired
from edgekit.comparison.tolerance import MIN_SCORE, TOLERANCES, Tolerance
from edgekit.data.detections import Detections


@dataclass(frozen=True)
class Parity:
    """How many of one model's detections another finds: same label; IoU, score and mask within a tolerance."""

    images: int
    compared: int
    matched: int
    extra: int  # detections that only the other model has
    # The rest is of detections paired at IoU 0.5, whether they match or not.
    largest_score_difference: float
    largest_box_difference: float  # pixels of the photo
    mean_mask_iou: float | None  # None where nothing has masks
    smallest_mask_iou: float | None

    @property
    def matched_share(self) -> float:
        """Matched of compared, 1 where there was nothing to compare."""
        return self.matched / self.compared if self.compared else 1.0

    @property
    def extra_share(self) -> float:
        """Extra of all the other model's."""
        found = self.compared + self.extra
        return self.extra / found if found else 0.0

    def reaches(self, least: float) -> bool:
        """Whether at least this share is matched, and no larger a share than the rest is extra."""
        return self.matched_share >= least and self.extra_share <= 1 - least + 1e-12


def parity(pairs: Iterable[tuple[Detections, Detections]], tolerance: Tolerance = TOLERANCES["fp32"]) -> Parity:
    """Match each (reference, other) pair's detections above ``MIN_SCORE``."""
    images = compared = matched = extra = 0
    scores, boxes = 0.0, 0.0
    mask_ious: list[float] = []
    for reference, other in pairs:
        first, second, overlaps = paired(reference, other, MIN_SCORE)
        a, b = reference.select(first), other.select(second)
        score = np.abs(a.scores - b.scores)
        near = (overlaps >= tolerance.min_iou) & (score <= tolerance.max_score_difference)
        if a.masks.size and a.masks.shape == b.masks.shape:
            near &= np.abs(a.masks - b.masks).mean(axis=(1, 2)) <= tolerance.max_mask_difference
            mask_ious += [mask_iou(x, y) for x, y in zip(a.cropped_masks(), b.cropped_masks(), strict=True)]
        images += 1
        compared += int((reference.scores > MIN_SCORE).sum())
        matched += int(near.sum())
        # A detection just above the bound in one model may be just below it in the other.
        sure = np.flatnonzero(other.scores > MIN_SCORE + tolerance.max_score_difference)
        extra += len(np.setdiff1d(sure, second))
        scores = max(scores, float(score.max(initial=0)))
        boxes = max(boxes, float(np.abs(a.boxes - b.boxes).max(initial=0)))
    return Parity(
        images=images,
        compared=compared,
        matched=matched,
        extra=extra,
        largest_score_difference=scores,
        largest_box_difference=boxes,
        mean_mask_iou=float(np.mean(mask_ious)) if mask_ious else None,
        smallest_mask_iou=min(mask_ious) if mask_ious else None,
    )

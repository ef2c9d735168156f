"""How two models' detections differ: to the last bit (retention) and within a tolerance (parity)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edgekit.artifacts.value_names import OUTPUTS
from edgekit.data.detections import Detections
from edgekit.data.masks import Crop

PAIRED_IOU = 0.5  # of boxes that may be one object


@dataclass(frozen=True)
class Retention:
    """What became of the old classes' detections between two models on the same photos.

    Detections of the same label that overlap are one detection of both models. It changed if its box, score or mask
    differs in any bit, if its place among the others is all that differs in a photo, or if only one model has it.
    """

    images: int
    compared: int  # that either model has
    changed: int  # of these; ``lost`` and ``added`` are among them
    lost: int  # that only the model before has
    added: int  # that only the model after has
    # Of detections that both have.
    largest_score_difference: float
    largest_box_difference: float  # pixels


@dataclass(frozen=True)
class Parity:
    """How many of one model's detections another finds: same label; IoU, score and mask within the tolerances."""

    images: int
    compared: int
    matched: int
    min_score: float
    min_iou: float
    max_score_difference: float
    max_mask_difference: float  # the mean over a mask's cells
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


def retention(pairs: Iterable[tuple[Detections, Detections]], old_labels: int) -> Retention:
    """Compare (before, after) detections of labels below ``old_labels``, exactly and in order."""
    images = compared = changed = lost = added = 0
    scores, boxes = 0.0, 0.0
    for before, after in pairs:
        before, after = before.select(before.labels < old_labels), after.select(after.labels < old_labels)
        images += 1
        compared += len(before)
        if len(before) == len(after) and not _differ(before, after).any():
            continue
        first, second, _ = paired(before, after, -np.inf)
        a, b = before.select(first), after.select(second)
        differ = _differ(a, b)
        only_before, only_after = len(before) - len(first), len(after) - len(second)
        if not (differ.any() or only_before or only_after):
            differ = first != second  # the same ones in another order
        lost += only_before
        added += only_after
        compared += only_after
        changed += int(differ.sum()) + only_before + only_after
        scores = max(scores, float(np.abs(a.scores - b.scores).max(initial=0)))
        boxes = max(boxes, float(np.abs(a.boxes - b.boxes).max(initial=0)))
    return Retention(images, compared, changed, lost, added, scores, boxes)


def parity(
    pairs: Iterable[tuple[Detections, Detections]],
    min_score: float = 0.3,
    min_iou: float = 0.99,
    max_score_difference: float = 1e-3,
    max_mask_difference: float = 0.01,
) -> Parity:
    """Match each (reference, other) pair's detections above ``min_score``."""
    images = compared = matched = extra = 0
    scores, boxes = 0.0, 0.0
    mask_ious: list[float] = []
    for reference, other in pairs:
        first, second, overlaps = paired(reference, other, min_score)
        a, b = reference.select(first), other.select(second)
        score = np.abs(a.scores - b.scores)
        near = (overlaps >= min_iou) & (score <= max_score_difference)
        if a.masks.size and a.masks.shape == b.masks.shape:
            near &= np.abs(a.masks - b.masks).mean(axis=(1, 2)) <= max_mask_difference
            mask_ious += [mask_iou(x, y) for x, y in zip(a.cropped_masks(), b.cropped_masks(), strict=True)]
        images += 1
        compared += int((reference.scores > min_score).sum())
        matched += int(near.sum())
        # A detection just above the bound in one model may be just below it in the other.
        alone = np.setdiff1d(np.flatnonzero(other.scores > min_score + max_score_difference), second)
        extra += len(alone)
        scores = max(scores, float(score.max(initial=0)))
        boxes = max(boxes, float(np.abs(a.boxes - b.boxes).max(initial=0)))
    return Parity(
        images=images,
        compared=compared,
        matched=matched,
        min_score=min_score,
        min_iou=min_iou,
        max_score_difference=max_score_difference,
        max_mask_difference=max_mask_difference,
        extra=extra,
        largest_score_difference=scores,
        largest_box_difference=boxes,
        mean_mask_iou=float(np.mean(mask_ious)) if mask_ious else None,
        smallest_mask_iou=min(mask_ious) if mask_ious else None,
    )


def paired(reference: Detections, other: Detections, min_score: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices [K] of ``reference``'s detections above ``min_score``, of those of ``other`` that overlap them most with
    the same label, each at most once, and the IoU [K] of both."""
    free = np.ones(len(other), bool)
    first, second, ious = [], [], []
    for index in np.flatnonzero(reference.scores > min_score):
        overlaps = box_iou(reference.boxes[[index]], other.boxes)[0] * free
        overlaps *= other.labels == reference.labels[index]
        if len(overlaps) and overlaps.max() >= PAIRED_IOU:
            best = int(overlaps.argmax())
            free[best] = False
            first.append(int(index))
            second.append(best)
            ious.append(float(overlaps[best]))
    return np.array(first, np.int64), np.array(second, np.int64), np.array(ious)


def mask_iou(a: Crop, b: Crop) -> float:
    """The IoU of two masks of one photo; 1 where both are empty."""
    (top, left), (bottom, right) = np.maximum((a.top, a.left), (b.top, b.left)), np.minimum(_end(a), _end(b))
    inner = [c.mask[max(top - c.top, 0) : bottom - c.top, max(left - c.left, 0) : right - c.left] for c in (a, b)]
    shared = int((inner[0] & inner[1]).sum()) if top < bottom and left < right else 0
    union = int(a.mask.sum()) + int(b.mask.sum()) - shared
    return shared / union if union else 1.0


def _end(crop: Crop) -> tuple[int, int]:
    return crop.top + crop.mask.shape[0], crop.left + crop.mask.shape[1]


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The IoU [N, M] of boxes [N, 4] and [M, 4], xyxy."""
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    sides = np.clip(np.minimum(a[:, None, 2:], b[None, :, 2:]) - top_left, 0, None)
    shared = sides[..., 0] * sides[..., 1]
    areas = [(x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1]) for x in (a, b)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)


def _differ(first: Detections, second: Detections) -> np.ndarray:
    """Which of two models' equally many detections differ in any bit: bool [N]."""
    differ = np.zeros(len(first), bool)
    for name in OUTPUTS:
        a, b = getattr(first, name), getattr(second, name)
        differ |= (a != b).any(axis=tuple(range(1, a.ndim)))
    return differ

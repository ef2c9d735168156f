"""How two models' detections differ: to the last bit (retention) and within a tolerance (parity)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edgekit.data.detections import Detections


@dataclass(frozen=True)
class Retention:
    """What became of the old classes' detections between two models on the same photos.

    A detection changed if its box, label, score or mask differs in any bit, or if only one model has it.
    """

    images: int
    compared: int
    changed: int
    largest_score_difference: float
    largest_box_difference: float  # pixels


@dataclass(frozen=True)
class Parity:
    """How many of one model's detections another finds: same label, IoU and score within the tolerances."""

    images: int
    compared: int
    matched: int
    min_score: float
    min_iou: float
    max_score_difference: float
    largest_score_difference: float  # among detections paired at IoU 0.5

    @property
    def matched_share(self) -> float:
        """Matched of compared, 1 where there was nothing to compare."""
        return self.matched / self.compared if self.compared else 1.0


def retention(pairs: Iterable[tuple[Detections, Detections]], old_labels: int) -> Retention:
    """Compare (before, after) detections of labels below ``old_labels``, exactly and in order."""
    images = compared = changed = 0
    scores, boxes = 0.0, 0.0
    for before, after in pairs:
        before, after = before.select(before.labels < old_labels), after.select(after.labels < old_labels)
        count = min(len(before), len(after))
        differs = np.zeros(count, bool)
        for a, b in zip(_arrays(before), _arrays(after), strict=True):
            differs |= (a[:count] != b[:count]).any(axis=tuple(range(1, a.ndim)))
        images += 1
        compared += len(before)
        changed += int(differs.sum()) + max(len(before), len(after)) - count
        if count:
            scores = max(scores, float(np.abs(before.scores[:count] - after.scores[:count]).max()))
            boxes = max(boxes, float(np.abs(before.boxes[:count] - after.boxes[:count]).max()))
    return Retention(images, compared, changed, scores, boxes)


def parity(
    pairs: Iterable[tuple[Detections, Detections]],
    min_score: float = 0.3,
    min_iou: float = 0.99,
    max_score_difference: float = 1e-3,
) -> Parity:
    """Match each (reference, other) pair's detections above ``min_score``."""
    images = compared = matched = 0
    largest = 0.0
    for reference, other in pairs:
        images += 1
        free = np.ones(len(other), bool)
        for box, label, score in zip(reference.boxes, reference.labels, reference.scores, strict=True):
            if score <= min_score:
                continue
            compared += 1
            overlaps = box_iou(box[None], other.boxes)[0] * free * (other.labels == label)
            if not len(overlaps) or overlaps.max() < 0.5:
                continue
            best = int(overlaps.argmax())
            free[best] = False
            difference = abs(float(score - other.scores[best]))
            largest = max(largest, difference)
            matched += bool(overlaps[best] >= min_iou and difference <= max_score_difference)
    return Parity(images, compared, matched, min_score, min_iou, max_score_difference, largest)


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The IoU [N, M] of boxes [N, 4] and [M, 4], xyxy."""
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    sides = np.clip(np.minimum(a[:, None, 2:], b[None, :, 2:]) - top_left, 0, None)
    shared = sides[..., 0] * sides[..., 1]
    areas = [(x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1]) for x in (a, b)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)


def _arrays(found: Detections) -> tuple[np.ndarray, ...]:
    return found.boxes, found.labels, found.scores, found.masks

"""Pairs the detections of two models that are one object."""

from __future__ import annotations

import numpy as np

from edgekit.data.detections import Detections, box_iou
from edgekit.data.masks import Crop

PAIRED_IOU = 0.5  # of boxes that may be one object


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

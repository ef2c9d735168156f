"""Compares two models' detections to the last bit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edgekit.comparison.pairing import paired
from edgekit.data.detections import Detections


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


def _differ(first: Detections, second: Detections) -> np.ndarray:
    """Which of two models' equally many detections differ in any bit: bool [N]."""
    differ = np.zeros(len(first), bool)
    for name in ("boxes", "labels", "scores", "masks"):
        a, b = getattr(first, name), getattr(second, name)
        differ |= (a != b).any(axis=tuple(range(1, a.ndim)))
    return differ

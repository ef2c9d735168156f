"""What benchmarks.run.overlaps counts: old labels above 0.5, and those that lie on a new object."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.run.overlaps import RULES, means, old_labels
from edgekit.artifacts.metadata import ModelMeta
from edgekit.data.annotations.dataset import Annotation, Photo
from edgekit.data.detections import Detections

META = ModelMeta("x", (("__background__", "dog"), ("frog",)), (320, 320))


def found(*rows: tuple[float, int, float]) -> Detections:
    """Boxes of 100 pixels from (left, label, score)."""
    boxes = np.array([[left, 0, left + 100, 100] for left, _, _ in rows], np.float32).reshape(-1, 4)
    labels, scores = np.array([r[1] for r in rows], np.int64), np.array([r[2] for r in rows], np.float32)
    return Detections(boxes, labels, scores, np.zeros((len(rows), 28, 28), np.float32), (100, 600))


def test_old_labels_on_new_objects() -> None:
    frog, dog = (Annotation(name, (left, 0, 100, 100), 1e4, None) for name, left in (("frog", 0.0), ("dog", 300.0)))
    photos = [Photo(i, Path("x.jpg"), 100, 600, a) for i, a in enumerate([(frog, dog), (dog,), ()])]
    first = found((10, 1, 0.9), (0, 1, 0.5), (60, 1, 0.9), (300, 1, 0.9), (0, 2, 0.9))
    counts = old_labels(photos, [first, found((300, 1, 0.9)), found()], META)
    assert counts == {"old_labels": 4, "old_labels_on_new_objects": 1}


def test_a_figure_that_one_seed_lacks_has_no_mean() -> None:
    rows = [
        {"seed": seed, "rule": rule, "labels": count, "AP": ap}
        for rule in RULES
        for seed, count, ap in ((0, 3, 50.0), (1, 4, None if rule == "0.5" else 51.0))
    ]
    assert means(rows)[:2] == [
        {"rule": "keep", "labels": 3.5, "AP": 50.5},
        {"rule": "0.5", "labels": 3.5, "AP": None},
    ]

"""What the tables say of old detections: changed ones are among those compared, and added ones are counted apart."""

from __future__ import annotations

import numpy as np

from benchmarks.pages.adaptation_tables import changed
from benchmarks.run.compare_methods import old_changes
from edgekit.comparison.retention import retention
from edgekit.data.detections import Detections


def found(scores: list[float]) -> Detections:
    boxes = np.array([[20 * i, 0, 20 * i + 10, 10] for i in range(len(scores))], np.float32).reshape(-1, 4)
    masks = np.zeros((len(scores), 28, 28), np.float32)
    return Detections(boxes, np.ones(len(scores), np.int64), np.array(scores, np.float32), masks, (100, 100))


def test_an_added_detection_is_none_of_the_base_models() -> None:
    def changes(before: list[float], after: list[float]) -> dict[str, int]:
        return old_changes(retention([(found(before), found(after))], 13))

    assert changes([0.9, 0.8], [0.9, 0.8, 0.7]) == {"old_changed": 0, "old_compared": 2, "old_added": 1}
    assert changes([0.9, 0.8], [0.9, 0.6, 0.7]) == {"old_changed": 1, "old_compared": 2, "old_added": 1}
    assert changes([0.9, 0.8], [0.9]) == {"old_changed": 1, "old_compared": 2, "old_added": 0}


def test_no_more_changed_than_the_base_model_has() -> None:
    rows = [
        {"method": "x", "mixed": {"old_changed": 374, "old_compared": 372}, "old only": old(5, 6)},
        {"method": "x", "mixed": {"old_changed": 0, "old_compared": 372}, "old only": old(6, 6)},
    ]
    assert changed(rows) == "383 of 756"


def old(count: int, compared: int) -> dict[str, int]:
    return {"old_changed": count, "old_compared": compared, "old_added": 3}

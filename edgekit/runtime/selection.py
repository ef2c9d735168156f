"""Select a model's detections: those up to some generation, or only the best of several generations'."""

from __future__ import annotations

import numpy as np

from edgekit.artifacts.metadata import ModelMeta
from edgekit.runtime.session import Outputs, Session

COVERED_IOU = 0.7  # a detection that a better one of another generation overlaps more than this is dropped


class Selected:
    """A session whose detections are selected; ``meta`` is of what is left."""

    def __init__(self, session: Session, meta: ModelMeta, best_only: bool) -> None:
        self.session, self.meta, self.best_only = session, meta, best_only
        self.runtime, self.batch = session.runtime, session.batch

    def infer(self, pixels: np.ndarray) -> Outputs:
        """Run on one canvas: uint8 [H, W, 3]."""
        return self._select(self.session.infer(pixels))

    def infer_batch(self, images: np.ndarray) -> list[Outputs]:
        """Run on ``batch`` canvases: uint8 [N, H, W, 3]."""
        return [self._select(found) for found in self.session.infer_batch(images)]

    def close(self) -> None:
        """Close the session whose detections are selected."""
        self.session.close()

    def _select(self, found: Outputs) -> Outputs:
        # Exact scoring: no generation changes an earlier one, so leaving out later labels gives the earlier model.
        found = _rows(found, (found.labels < len(self.meta.categories)) & (found.scores > 0))
        return best_only(found, self.meta) if self.best_only else found


def best_only(found: Outputs, meta: ModelMeta) -> Outputs:
    """Drop each detection that a better-scored one of another generation covers; at equal scores the earlier stays."""
    ends = np.cumsum([len(names) for names in meta.generations])
    generations = np.searchsorted(ends, found.labels, side="right")
    order = np.lexsort((generations, -found.scores))  # the best first
    better = np.empty(len(order), np.int64)
    better[order] = np.arange(len(order))
    covers = (better[:, None] < better[None]) & (generations[:, None] != generations[None])
    return _rows(found, ~(covers & (_iou(found.boxes) > COVERED_IOU)).any(axis=0))


def _iou(boxes: np.ndarray) -> np.ndarray:
    """The IoU [N, N] of boxes [N, 4] xyxy with each other."""
    top_left = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    sides = np.clip(np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - top_left, 0, None)
    shared = sides[..., 0] * sides[..., 1]
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return shared / np.maximum(areas[:, None] + areas[None] - shared, 1e-9)


def _rows(found: Outputs, keep: np.ndarray) -> Outputs:
    return Outputs(*(values[keep] for values in found))

"""Selects a model's detections: those up to some generation, or only the best of several generations'."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.artifacts.metadata import ModelMeta
from edgekit.data.detections import box_iou
from edgekit.errors import EdgekitError
from edgekit.runtime.session import Outputs, Session

COVERED_IOU = 0.7  # a detection that a better one of another generation overlaps more than this is dropped


@dataclass(frozen=True)
class Selection:
    """Which of a model's detections to use.

    ``generations`` uses the model as it was after that many adaptations; ``best_only`` drops detections that a
    better-scored one of another generation covers.
    """

    generations: int | None = None
    best_only: bool = False

    def apply(self, meta: ModelMeta, source: Path) -> ModelMeta:
        """The metadata of what is left of the model ``source``; raises EdgekitError if it lacks that generation."""
        if self.generations is None:
            return meta
        if meta.best_only:
            raise EdgekitError(
                f"{source}: its generations are mixed (best only)", "export it again without --best-only"
            )
        return meta.until(self.generations, source)


class Selected(Session):
    """A session whose detections are selected; ``meta`` describes the model that is left."""

    def __init__(self, session: Session, meta: ModelMeta, best_only: bool) -> None:
        self.session, self.meta, self.best_only = session, meta, best_only
        self.runtime, self.batch = session.runtime, session.batch

    def infer_batch(self, images: np.ndarray) -> list[Outputs]:
        """Run on ``batch`` canvases, uint8 [N, H, W, 3], and select."""
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
    return _rows(found, ~(covers & (box_iou(found.boxes, found.boxes) > COVERED_IOU)).any(axis=0))


def _rows(found: Outputs, keep: np.ndarray) -> Outputs:
    return Outputs(*(values[keep] for values in found))

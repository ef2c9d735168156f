"""One object, one label: selects among detections of several generations of classes that overlap."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.artifacts.metadata import OVERLAPS, ModelMeta
from edgekit.data.detections import Detections, box_iou
from edgekit.errors import EdgekitError
from edgekit.runtime.session import Outputs, Session

OVERLAP_SCORE = 0.75  # a later generation's detection above this score hides the base model's
OVERLAP_ODDS = 7.0  # unless the base model's odds, score / (1 - score), are more than so many times its own
OVERLAP_IOU = 0.5  # boxes that overlap as much are one object


@dataclass(frozen=True)
class Selection:
    """Which of a model's detections to use.

    ``overlaps`` is "one" (one label per object, see ``one_label``) or "keep" (all that is found). With None,
    ``predict`` takes "one", and all else what the model's folder says or, where a class was refined and is therefore
    found twice, "one", else "keep". ``packs`` are files of packs to use with the model, in any order.
    """

    overlaps: str | None = None
    packs: tuple[str | Path, ...] = ()

    def __post_init__(self) -> None:
        if self.overlaps not in (None, *OVERLAPS):
            raise EdgekitError(f"--overlaps {self.overlaps}: unknown", f"give one of: {', '.join(OVERLAPS)}")

    def apply(self, session: Session, source: Path) -> Session:
        """A session of the model ``source`` with its detections selected.

        Raises EdgekitError if all are to be kept, and the graph itself drops some.
        """
        if self.overlaps == "keep" and session.meta.overlaps == "one":
            raise EdgekitError(
                f"{source}: gives one label per object, so --overlaps keep has nothing to keep",
                "omit it, or export the model again without --overlaps one",
            )
        return selected(session, self.overlaps or ("one" if session.meta.refined_classes else session.overlaps))


class Selected(Session):
    """A session whose detections have one label per object."""

    def __init__(self, session: Session) -> None:
        self.session, self.meta = session, session.meta
        self.runtime, self.batch = session.runtime, session.batch

    def infer_batch(self, images: np.ndarray) -> list[Outputs]:
        """Run on ``batch`` canvases, uint8 [N, H, W, 3], and select."""
        return [self._select(found) for found in self.session.infer_batch(images)]

    def close(self) -> None:
        """Close the session whose detections are selected."""
        self.session.close()

    def _select(self, found: Outputs) -> Outputs:
        keep = one_label(found, self.meta)
        return Outputs(*(values[keep] for values in found))


def selected(session: Session, overlaps: str) -> Session:
    """The session itself where ``overlaps`` leaves its detections as they are, else one that selects."""
    alone = len(session.meta.group_sizes) == 1  # no later generation: nothing can be hidden
    return session if overlaps == "keep" or session.meta.overlaps == "one" or alone else Selected(session)


def one_label(
    found: Outputs | Detections, meta: ModelMeta, least_score: float = OVERLAP_SCORE, odds: float = OVERLAP_ODDS
) -> np.ndarray:
    """Which detections stay where each object is to have one label: bool [D].

    Raw scores of two softmaxes cannot be compared, but a later generation's own score can be relied on: it was computed
    against everything that is believed of the earlier classes. So a detection of the base model is hidden by any of a
    later generation that overlaps it and scores above ``least_score``, unless the base model's odds are more than
    ``odds`` times as high. Among later generations, and among all of a refined class, the higher score hides the lower;
    at equal scores the earlier one stays.

    A hidden detection still hides others: what one generation hides of the base model's is then the same whichever
    others are there, and no order or iteration is needed, here or in a graph (``static.detector.uncovered``).
    """
    generation = np.searchsorted(np.cumsum(meta.group_sizes), found.labels, side="right")
    later, earlier = generation > 0, generation[:, None] < generation[None]
    classes = np.array(meta.class_labels)[found.labels]
    by_score = (later[:, None] & later[None]) | (classes[:, None] == classes[None])
    score, other = found.scores[:, None], found.scores[None]
    likely = odds * (score * (1 - other)) >= other * (1 - score)
    sure = (later & (found.scores > least_score))[:, None] & ~later[None] & likely
    higher = (score > other) & (earlier | earlier.T)
    equal = (score == other) & earlier
    hides = np.where(by_score, higher | equal, sure)
    return ~(hides & (box_iou(found.boxes, found.boxes) >= OVERLAP_IOU)).any(axis=0)

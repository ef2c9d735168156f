"""How far a model's detections may be from another's, given the precision of its arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

MIN_SCORE = 0.3  # detections below are not compared


@dataclass(frozen=True)
class Tolerance:
    """What counts as the same, for one precision.

    A detection is found again if one of the same label overlaps it by ``min_iou``, with a score and (on average over
    its 28x28 cells) mask probabilities at most this far off; ``least_matched`` of all must be. ``inner`` bounds the
    relative difference (norm of the difference to norm) of values inside the model, ``proposals`` the share of
    proposals that differ. A verdict on fewer than ``least_compared`` detections says little.
    """

    precision: str
    min_iou: float
    max_score_difference: float
    max_mask_difference: float
    least_matched: float
    least_compared: int
    inner: float
    proposals: float


# Inside, fp32 sums in another order differ by 1e-6 to 1e-5; half's values by 1e-3 each; int8's have 256 steps a tensor.
# In fp32 and fp16 nearly all detections of a sound graph match. In int8 some never do, so that a verdict takes more: a
# graph that matches 95% in the long run fails the bar of 85% on 25 detections 3 times in 100, on 100 never in 1000; one
# that matches 75% passes it 10 times in 100, on 100 once.
TOLERANCES = {
    t.precision: t
    for t in (
        Tolerance("fp32", 0.99, 1e-3, 0.01, 0.99, 10, 1e-3, 0.02),
        Tolerance("fp16", 0.95, 0.02, 0.03, 0.97, 10, 0.02, 0.10),
        Tolerance("int8", 0.80, 0.15, 0.15, 0.85, 100, 0.30, 0.40),
    )
}


def tolerance_for(*precisions: str) -> Tolerance:
    """The tolerance for models of these precisions: the coarsest one's; a precision unknown here counts as int8."""
    known = list(TOLERANCES)
    return TOLERANCES[known[max(known.index(p) if p in known else len(known) - 1 for p in precisions)]]

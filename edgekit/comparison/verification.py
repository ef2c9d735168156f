"""Whether another form of a model still finds what the model finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.comparison.comparison_photos import Photos
from edgekit.comparison.parity import Parity, parity
from edgekit.comparison.tolerance import MIN_SCORE, Tolerance, tolerance_for
from edgekit.data.detections import Detections
from edgekit.errors import EdgekitError
from edgekit.measurement.evaluate import Evaluation, score
from edgekit.progress import Track, silent
from edgekit.runtime.session import Session, detect

Pair = tuple[Detections, Detections]  # what the reference and the other model find in a photo


@dataclass(frozen=True)
class Verification:
    """How far two forms of a model differ on the same photos, and by what tolerance that was judged.

    The evaluations are None where no annotations were given.
    """

    parity: Parity
    tolerance: Tolerance
    reference: Evaluation | None = None
    other: Evaluation | None = None

    @property
    def passed(self) -> bool:
        """Whether as many detections match, and as few are extra, as the tolerance asks for."""
        return self.parity.reaches(self.tolerance.least_matched)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What keeps a pass from meaning much: too few detections to compare."""
        seen = self.parity
        if seen.compared >= self.tolerance.least_compared:
            return ()
        count = f"only {seen.compared} detections" if seen.compared else "no detections"
        photos = "1 photo" if seen.images == 1 else f"{seen.images} photos"
        return (f"{count} on {photos} were compared, which says little: give photos of what the model knows",)

    @property
    def numbers(self) -> str:
        """The figures in one line, for an error."""
        seen = self.parity
        line = (
            f"{seen.matched} of {seen.compared} detections above score {MIN_SCORE} matched, {seen.extra} extra; "
            f"largest difference of scores {seen.largest_score_difference:.2g}, "
            f"of boxes {seen.largest_box_difference:.2g} pixels"
        )
        if seen.mean_mask_iou is not None:
            line += f"; mean mask IoU {seen.mean_mask_iou:.4f}"
        if self.reference is not None and self.other is not None:
            line += f"; box AP {100 * self.reference.box.AP:.1f} and {100 * self.other.box.AP:.1f}"
            if self.reference.mask and self.other.mask:
                line += f", mask AP {100 * self.reference.mask.AP:.1f} and {100 * self.other.mask.AP:.1f}"
        return line


def verify(
    reference: Session, other: Session, photos: Photos, track: Track = silent, tolerance: Tolerance | None = None
) -> Verification:
    """Compare ``other``'s detections with ``reference``'s, by default with the coarser precision's tolerance.

    Raises EdgekitError where the two cannot be compared; where they differ, ``passed`` is False.
    """
    return judge(run_both(reference, other, photos, track), photos, reference, other, tolerance)


def verified(output: Path, other: Session, reference: Session, photos: Photos, track: Track = silent) -> Verification:
    """Compare ``other``, a session of the file ``output``, with what it was made from; raises if they differ."""
    result = verify(reference, other, photos, track)
    if not result.passed:
        few = "".join(f"{doubt}: --verify DIR; " for doubt in result.doubts)
        raise EdgekitError(
            f"{output}: its detections differ from those of {reference.runtime}: {result.numbers}",
            f"nothing was written; {few}keep more in float32 (--keep), or write it with --no-verify and see where it "
            "differs with `edgekit compare`",
        )
    return result


def run_both(reference: Session, other: Session, photos: Photos, track: Track = silent) -> list[Pair]:
    """Both models' detections in every photo; raises EdgekitError where their classes or input sizes differ."""
    check_comparable(reference, other)
    pixels = (photos.read(index) for index in track(range(len(photos)), "comparing detections"))
    return [(detect(reference, photo), detect(other, photo)) for photo in pixels]


def judge(
    found: Sequence[Pair], photos: Photos, reference: Session, other: Session, tolerance: Tolerance | None = None
) -> Verification:
    """The verification of detections already made."""
    tolerance = tolerance or tolerance_for(_arithmetic(reference), _arithmetic(other))
    agreement = parity(found, tolerance)
    if photos.dataset is None:
        return Verification(agreement, tolerance)
    before, after = zip(*found, strict=True)
    return Verification(
        agreement,
        tolerance,
        score(photos.dataset, photos.dataset.photos, before, reference.meta),
        score(photos.dataset, photos.dataset.photos, after, other.meta),
    )


def check_comparable(reference: Session, other: Session) -> None:
    """Raise EdgekitError where two models cannot be compared detection by detection."""
    first, second = reference.meta, other.meta
    if first.categories != second.categories:
        common = {*first.categories} & {*second.categories}
        odd = [c for c in (*first.categories, *second.categories) if c not in common]
        what = f"only one has {', '.join(odd[:5])}{', ...' if len(odd) > 5 else ''}" if odd else "their order differs"
        raise EdgekitError(
            f"the models' classes differ ({len(first.categories)} and {len(second.categories)} labels): {what}",
            "compare forms of one model",
        )
    if first.input_size != second.input_size:
        sizes = " and ".join(f"{h}x{w}" for h, w in (first.input_size, second.input_size))
        height, width = first.input_size
        raise EdgekitError(
            f"the models' input sizes differ: {sizes}", f"export both for one size: --size {height}x{width}"
        )


def _arithmetic(session: Session) -> str:
    """A session's precision; that of TF32 products, whose mantissa is as short as half's, is half's."""
    precision = session.meta.precision
    return "fp16" if precision == "fp32" and getattr(session, "tf32", False) else precision

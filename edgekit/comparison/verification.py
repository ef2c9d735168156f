"""Does another form of a model still find what the model finds?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.comparison.pairing import Parity, parity
from edgekit.comparison.tolerance import Tolerance, tolerance_for
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.formats import read_dataset
from edgekit.data.detections import Detections
from edgekit.data.images import SAMPLE_PHOTOS, list_images, read_image
from edgekit.errors import EdgekitError
from edgekit.measurement.evaluate import Evaluation, score
from edgekit.progress import Track, silent
from edgekit.runtime.session import Session, detect


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
        return (
            f"{count} on {seen.images} photos were compared, which says little: give photos of what the model knows",
        )

    @property
    def numbers(self) -> str:
        """The figures in one line, for an error."""
        seen = self.parity
        line = (
            f"{seen.matched} of {seen.compared} detections above score {seen.min_score} matched, {seen.extra} extra; "
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


@dataclass(frozen=True)
class Photos:
    """The photos to compare on: pixels read one at a time, with annotations or without."""

    files: tuple[Path, ...]
    dataset: Dataset | None

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> np.ndarray:
        """The pixels of a photo, RGB uint8 [H, W, 3]."""
        return self.dataset.photos[index].read() if self.dataset else read_image(self.files[index])


def verify(
    reference: Session,
    other: Session,
    images: Path | None = None,
    data: Path | None = None,
    tolerance: Tolerance | None = None,
    track: Track = silent,
) -> Verification:
    """Compare ``other``'s detections with ``reference``'s on the photos of a folder (by default edgekit's own).

    ``data`` annotates photos of ``images``: then only those count, and the AP of both is measured. The tolerance is
    that of the coarser precision of the two by default. Raises where the two cannot be compared; where they differ,
    ``passed`` is False.
    """
    photos = photos_of(images, data)
    return judge(run(reference, other, photos, track), photos, reference, other, tolerance)


def photos_of(images: Path | None, data: Path | None) -> Photos:
    """The photos of a folder, those that ``data`` annotates, or those that come with edgekit."""
    if data is None:
        return Photos(tuple(list_images(images or SAMPLE_PHOTOS)), None)
    if images is None:
        raise EdgekitError(f"{data}: annotates photos of an unknown folder", "give the folder with --images")
    dataset = read_dataset(data, images)
    return Photos(tuple(p.path for p in dataset.photos), dataset)


def photos_in(folder: Path | None) -> Photos:
    """The photos of a folder, with its annotations.json if it holds one, or those that come with edgekit."""
    annotations = folder / "annotations.json" if folder is not None else None
    return photos_of(folder, annotations if annotations is not None and annotations.exists() else None)


def run(
    reference: Session, other: Session, photos: Photos, track: Track = silent
) -> list[tuple[Detections, Detections]]:
    """Both models' detections in every photo; raises where their classes or input sizes differ."""
    check_comparable(reference, other)
    both = (reference, other)
    indices: Iterable[int] = track(range(len(photos)), "comparing detections")
    return [(detect(both[0], pixels), detect(both[1], pixels)) for pixels in map(photos.read, indices)]


def judge(
    found: Sequence[tuple[Detections, Detections]],
    photos: Photos,
    reference: Session,
    other: Session,
    tolerance: Tolerance | None = None,
) -> Verification:
    """The verification of detections already made."""
    bounds = tolerance or tolerance_for(_arithmetic(reference), _arithmetic(other))
    limits = {"max_score_difference": bounds.max_score_difference, "max_mask_difference": bounds.max_mask_difference}
    agreement = parity(found, min_iou=bounds.min_iou, **limits)
    if photos.dataset is None:
        return Verification(agreement, bounds)
    firsts, seconds = zip(*found, strict=True)
    ap = [
        score(photos.dataset, photos.dataset.photos, detections, session.meta)
        for detections, session in ((firsts, reference), (seconds, other))
    ]
    return Verification(agreement, bounds, *ap)


def _arithmetic(session: Session) -> str:
    """A session's precision; that of TF32 products, whose mantissa is as short as half's, is half's."""
    precision = session.meta.precision
    return "fp16" if precision == "fp32" and getattr(session, "tf32", False) else precision


def verified(
    output: Path,
    other: Session,
    reference: Session,
    photos: Photos,
    track: Track = silent,
) -> Verification:
    """Compare ``other``, a session of the file ``output``, with what it was made from; raises if they differ."""
    result = judge(run(reference, other, photos, track), photos, reference, other)
    if not result.passed:
        few = "".join(f"{doubt}: --verify DIR; " for doubt in result.doubts)
        raise EdgekitError(
            f"{output}: its detections differ from those of {reference.runtime}: {result.numbers}",
            f"nothing was written; {few}keep more in float32 (--keep), or write it with --no-verify and see where it "
            "differs with `edgekit compare`",
        )
    return result


def check_comparable(reference: Session, other: Session) -> None:
    """Raise where two models cannot be compared detection by detection."""
    first, second = reference.meta, other.meta
    if first.categories != second.categories:
        odd = [
            c for c in (*first.categories, *second.categories) if (c in first.categories) != (c in second.categories)
        ]
        what = f"only one has {', '.join(odd[:5])}{', ...' if len(odd) > 5 else ''}" if odd else "their order differs"
        raise EdgekitError(
            f"the models' classes differ ({len(first.categories)} and {len(second.categories)} labels): {what}",
            "compare forms of one model; export it as it was earlier with --generations",
        )
    if first.input_size != second.input_size:
        sizes = " and ".join(f"{h}x{w}" for h, w in (first.input_size, second.input_size))
        height, width = first.input_size
        raise EdgekitError(
            f"the models' input sizes differ: {sizes}", f"export both for one size: --size {height}x{width}"
        )

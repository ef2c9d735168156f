"""What is the AP of the very session that was timed?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.data.annotations.dataset import Dataset, Photo
from edgekit.data.annotations.formats import read_dataset
from edgekit.data.annotations.usable import readable
from edgekit.errors import EdgekitError
from edgekit.measurement.evaluate import Evaluation, score
from edgekit.progress import Track
from edgekit.runtime.session import Session, detect


@dataclass(frozen=True)
class Annotated:
    """Annotated photos, all of which can be read."""

    dataset: Dataset
    photos: tuple[Photo, ...]


def read_annotated(data: Path, images: Path | None) -> Annotated:
    """The annotated photos of a folder; raises EdgekitError before anything is timed."""
    if images is None:
        raise EdgekitError(f"--data {data}: names photos, but not where they are", "give their folder with --images")
    dataset = read_dataset(data, images)
    return Annotated(dataset, tuple(readable(dataset.photos, skip_bad=False)[0]))


def average_precision(session: Session, annotated: Annotated, name: str, track: Track) -> Evaluation:
    """COCO AP of a session over annotated photos, one photo a call."""
    found = [detect(session, photo.read()) for photo in track(annotated.photos, f"AP of {name}")]
    return score(annotated.dataset, annotated.photos, found, session.meta)

"""Run a model on photos; return what it found and, if asked, draw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.artifacts import atomic_path, output_folder
from edgekit.data.images import list_images, read_image
from edgekit.errors import EdgekitError
from edgekit.progress import Track, silent
from edgekit.report.pictures import draw
from edgekit.runtime.session import detect, open_session


@dataclass(frozen=True)
class Prediction:
    """What was found in one photo, and the picture of it if one was written; ``skipped`` says why it was not read."""

    image: Path
    detections: tuple[dict[str, Any], ...]  # category, category_id, score, bbox [x, y, w, h], segmentation (COCO RLE)
    picture: Path | None = None
    skipped: str | None = None


def predict(
    model: str | Path,
    images: Sequence[Path],
    output: Path | None = None,
    min_score: float = 0.5,
    generations: int | None = None,
    best_only: bool = False,
    skip_bad_images: bool = False,
    track: Track = silent,
) -> list[Prediction]:
    """Find objects in image files and in the images of folders; with ``output``, write annotated PNGs there.

    ``generations`` leaves out what later adaptations added; ``best_only`` drops detections that a better-scored one of
    another generation covers.
    """
    session = open_session(model, generations, best_only)
    files = [f for path in images for f in (list_images(path) if path.is_dir() else [path])]
    if output is not None:
        output_folder(output)
    predictions: list[Prediction] = []
    taken: set[Path] = set()
    for file in track(files, "predicting"):
        try:
            photo = read_image(file)
        except EdgekitError as error:
            if skip_bad_images:
                predictions.append(Prediction(file, (), skipped=error.message))
                continue
            raise EdgekitError(error.message, f"{error.hint}, or give --skip-bad-images") from None
        found = detect(session, photo)
        found = found.select(found.scores >= min_score)
        picture = None
        if output is not None:
            picture = _unused(output / f"{file.stem}.png", taken)
            taken.add(picture)
            with atomic_path(picture) as temporary:
                draw(photo, found, session.meta.categories).save(temporary)
        predictions.append(Prediction(file, tuple(found.to_coco(session.meta.categories)), picture))
    return predictions


def _unused(path: Path, taken: set[Path]) -> Path:
    """``path``, or with a number if another photo of this run has it."""
    number, free = 2, path
    while free in taken:
        number, free = number + 1, path.with_stem(f"{path.stem}-{number}")
    return free

"""What ``check`` found as one HTML page that needs nothing else, with photos that show it."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path

from PIL import Image

from edgekit.checking.annotation_drawing import Doubt, annotated_picture
from edgekit.checking.check_advice import advice
from edgekit.checking.check_result import Check
from edgekit.checking.check_sheets import check_sheets
from edgekit.checking.class_facts import SMALL_AREA, canvas_area
from edgekit.checking.example_photos import example_photos
from edgekit.data.annotations.dataset import Dataset, Photo
from edgekit.data.images import read_image
from edgekit.report.pages import rendered
from edgekit.report.plots import COLOURS, distribution

LISTED = 100  # rows of a table
DRAWN = 12  # objects of a kind, and groups of near-duplicates
BESIDE = 4  # photos of a group that are drawn
THUMBNAIL = 200  # pixels of their long side

Figure = tuple[str, Image.Image]  # the text below, and the picture


def check_page(result: Check, dataset: Dataset, faulty: Collection[str], seed: int) -> str:
    """The page's text; photos are read again, at the size that is shown."""
    photos = {photo.path: photo for photo in dataset.photos}
    examples = example_photos(dataset.photos, faulty, seed)
    return rendered(
        "checking",
        "check.html.j2",
        result=result,
        advice=advice(result),
        sheets=check_sheets(result, LISTED),
        sizes_plot=_sizes_plot(dataset, result.size),
        small_side=math.isqrt(SMALL_AREA),
        examples=[(result.short(p.path), annotated_picture(p, dataset.categories)) for p in examples],
        doubts=_doubts(result, photos, dataset.categories),
        groups=_groups(result),
    )


def _doubts(result: Check, photos: dict[Path, Photo], categories: Sequence[str]) -> dict[str, list[Figure]]:
    """Pictures of the surest suspects, and of what the RPN misses, by title."""
    found = result.findings
    if found is None:
        return {}
    marks: dict[str, list[tuple[Path, Doubt]]] = {}
    for s in found.suspects:
        text = f"{s.found or 'no ' + s.annotated} {s.score:.2f}"
        marks.setdefault(s.kind, []).append((s.photo, Doubt(s.box, text)))
    marks["not proposed by the RPN"] = [(m.photo, Doubt(m.box, f"{m.category}?")) for m in found.missed]
    return {
        title: [
            (result.short(path), annotated_picture(photos[path], categories, doubt)) for path, doubt in some[:DRAWN]
        ]
        for title, some in marks.items()
        if some
    }


def _groups(result: Check) -> list[list[Figure]]:
    """The first groups of near-duplicates, photos of both sides among those that are drawn."""
    groups = []
    for group in result.duplicates[:DRAWN]:
        held_out = group.held_out[: max(BESIDE // 2, BESIDE - len(group.learned))]
        shown = [(path, "") for path in group.learned[: BESIDE - len(held_out)]]
        shown += [(path, " (held out)") for path in held_out]
        groups.append([(result.short(p) + side, Image.fromarray(read_image(p, THUMBNAIL))) for p, side in shown])
    return groups


def _sizes_plot(dataset: Dataset, size: tuple[int, int]) -> str:
    """The share of each class's objects up to each size on the canvas, of as many classes as there are colours."""
    sizes: dict[str, list[float]] = {}
    for photo in dataset.photos:
        for item in photo.annotations:
            if not item.iscrowd:
                sizes.setdefault(item.category, []).append(math.sqrt(canvas_area(photo, item, size)))
    frequent = sorted(sizes, key=lambda name: -len(sizes[name]))[: len(COLOURS)]
    unit = f"size on an input of {size[0]}x{size[1]}, pixels"
    return distribution({name: sizes[name] for name in frequent}, unit, "% of objects") if frequent else ""

"""What an adaptation learns from and is proved on: read, checked and split before any work starts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgekit.adaptation.learning.held_out import split
from edgekit.data.annotations.dataset import Dataset, Photo
from edgekit.data.annotations.formats import detect_format, read_dataset
from edgekit.data.annotations.usable import readable, without_blank
from edgekit.data.class_names import find_alike
from edgekit.data.images import list_images, read_image
from edgekit.errors import EdgekitError


@dataclass(frozen=True)
class ProbePhoto:
    """A photo without annotations, to compare detections on."""

    path: Path

    def read(self) -> np.ndarray:
        """The pixels, RGB uint8 [H, W, 3]."""
        return read_image(self.path)


@dataclass(frozen=True)
class Inputs:
    """Photos by what they are for, and the classes to add with their numbers of objects to learn from."""

    classes: tuple[str, ...]
    objects: dict[str, int]
    learn: list[Photo]
    held_out: Dataset | None
    replay: list[Photo]
    probe: list[ProbePhoto]
    old: Dataset | None
    skipped: tuple[str, ...]


def read_inputs(
    data: Path,
    images: Path,
    known: tuple[str, ...],
    has_masks: bool,
    scoring: str,
    classes: tuple[str, ...],
    val: Path | float | None,
    replay: Path | None,
    probe: Path | None,
    old_data: Path | None,
    seed: int,
    skip_bad_images: bool,
) -> Inputs:
    """Read everything ``adapt`` is given; ``known`` are the base model's classes, which joint ``scoring`` teaches too.

    ``val`` is a file, or the share of the photos that is held out. The photos of ``val``, ``replay`` and
    ``old_data`` are looked for beside the annotations, then in ``images``.
    """
    dataset = read_dataset(data, images)
    added = _new_classes(dataset, classes, known)
    _refuse_alike(dataset, set(added), {*added, *known} if scoring == "joint" else set(added))
    skipped: list[str] = []

    def sound(photos: Sequence[Photo]) -> list[Photo]:
        good, bad = readable(photos, skip_bad_images, without_blank)
        skipped.extend(bad)
        return good

    def others(annotations: Path, part: str = "") -> Dataset:
        found = _beside(annotations, images, part)
        _refuse_alike(found, set(), {*added, *known})
        return replace(found, photos=tuple(sound(found.photos)))

    photos = sound(dataset.photos)
    if val is None or isinstance(val, float):
        learn, out = split(photos, added, seed, val)
        held_out = Dataset(data, dataset.categories, tuple(out)) if out else None
    else:
        learn, held_out = photos, others(val, "val")
        _count_objects(held_out, held_out.photos, added, skipped)
    old = others(old_data) if old_data else None
    if old is not None and not any(a.category in known and not a.iscrowd for p in old.photos for a in p.annotations):
        raise EdgekitError(
            f"{old_data}: annotates no object of the base model's classes", f"they are {', '.join(known[1:9])} ..."
        )
    again = others(replay) if replay else Dataset(data, (), ())
    if has_masks:
        taught = {*added, *known} if scoring == "joint" else set(added)
        _check_masks(dataset, learn, taught)
        _check_masks(again, again.photos, taught)
        if held_out is not None:
            _check_masks(held_out, held_out.photos, set(added))
    objects = _count_objects(dataset, learn, added, skipped)
    probed, unread = readable(map(ProbePhoto, list_images(probe)), skip_bad_images) if probe else ([], [])
    return Inputs(
        classes=added,
        objects=objects,
        learn=learn,
        held_out=held_out,
        replay=list(again.photos),
        probe=probed,
        old=old,
        skipped=(*skipped, *unread),
    )


def _beside(annotations: Path, images: Path, split: str = "") -> Dataset:
    """A dataset whose photos lie beside its annotations or in ``images``; of a YOLO set, one split if it is named."""
    beside = annotations if annotations.is_dir() else annotations.parent
    try:
        return read_dataset(annotations, beside, split)
    except EdgekitError as error:
        first = error
    try:
        return read_dataset(annotations, images, split)
    except EdgekitError as error:
        second = error
    if first.message == second.message:  # it is not about where the photos are
        raise first
    if detect_format(annotations) == "coco":
        raise _lost_photo(annotations, (beside, first), (images, second))
    raise EdgekitError(
        f"{first.message}; with photos in {images}: {second.message}", f"photos belong into {beside} or into {images}"
    )


def _lost_photo(annotations: Path, *tried: tuple[Path, EdgekitError]) -> EdgekitError:
    """What is wrong with a COCO set that could not be read with its photos in either of two folders."""
    document = json.loads(annotations.read_text(encoding="utf-8-sig"))
    names = [str(image["file_name"]) for image in document["images"]]
    lacking = [[n for n in names if not (folder / n).is_file()] for folder, _ in tried]
    for (_, error), missing in zip(tried, lacking, strict=True):
        if not missing:  # it is about something else
            return error
    (first, _), (second, _) = tried
    lost = [n for n in lacking[0] if n in lacking[1]]
    if lost:
        return EdgekitError(
            f"{lost[0]}: named in {annotations} but neither in {first} nor in {second} "
            f"({len(lost)} of {len(names)} are missing)",
            "put it back, or take it out of the annotations",
        )
    return EdgekitError(
        f"{annotations}: of its {len(names)} photos {first} lacks {len(lacking[0])} ({lacking[0][0]}) and "
        f"{second} {len(lacking[1])} ({lacking[1][0]})",
        "put all of them into one of the two folders",
    )


def _new_classes(dataset: Dataset, wanted: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """The classes to add, in the file's order; raises for those the model has or the file lacks."""
    annotated = {a.category for p in dataset.photos for a in p.annotations}
    for name in wanted:
        if name not in dataset.categories:
            raise EdgekitError(
                f"class {name}: not annotated in {dataset.file}", f"its classes are {', '.join(dataset.categories)}"
            )
    added = tuple(c for c in dataset.categories if (c in wanted if wanted else c in annotated))
    had = [c for c in added if c in known]
    if had:
        fresh = ",".join(c for c in added if c not in had)
        advice = f"pick the others: --classes {fresh}" if fresh else "nothing is left to add"
        raise EdgekitError(f"class {had[0]}: the base model already has it", advice)
    if alike := find_alike(added, known):
        raise EdgekitError(
            f"{dataset.file}: its classes and the base model's: {alike}",
            "if it is the same class, omit it with --classes; if it is another, rename it",
        )
    return added


def _refuse_alike(dataset: Dataset, added: set[str], taught: set[str]) -> None:
    """Raise where an annotated class is nearly named as another that is added, or as one that is taught."""
    annotated = {a.category for p in dataset.photos for a in p.annotations}
    alike = find_alike(sorted(added), added) or find_alike(sorted(annotated - added - taught), taught)
    if alike:
        raise EdgekitError(
            f"{dataset.file}: the classes {alike}", "rename them: to one name if they are one class, else to two"
        )


def _check_masks(dataset: Dataset, photos: Sequence[Photo], classes: set[str]) -> None:
    """Raise where an object of one of the classes has no mask."""
    for photo in photos:
        for item in photo.annotations:
            if item.category in classes and not item.iscrowd and item.segmentation is None:
                raise EdgekitError(
                    f"{photo.path}: an object of class {item.category} has a box but no mask in {dataset.file}",
                    "a Mask R-CNN learns from masks: annotate polygons or RLE",
                )


def _count_objects(
    dataset: Dataset, photos: Sequence[Photo], classes: tuple[str, ...], left_out: Sequence[str]
) -> dict[str, int]:
    """How many objects of each class there are; raises where one has none."""
    counts = dict.fromkeys(classes, 0)
    for photo in photos:
        for item in photo.annotations:
            if item.category in counts and not item.iscrowd:
                counts[item.category] += 1
    for name, count in counts.items():
        if not count:
            more = f", or none that can be used ({left_out[0]})" if left_out else ""
            raise EdgekitError(f"class {name}: has no annotated object in {dataset.file}{more}", "annotate a few")
    return counts

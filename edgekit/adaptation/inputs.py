"""What an adaptation learns from and is proved on: read, checked and split before any work starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edgekit.adaptation.learning.learning_options import Learning
from edgekit.adaptation.mask_making.boxes_only import MadeMasks
from edgekit.adaptation.splitting import split
from edgekit.adaptation.wanted_classes import choose_classes
from edgekit.artifacts.class_names import find_alike
from edgekit.artifacts.metadata import ModelMeta
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.beside import collect_beside
from edgekit.data.annotations.dataset import Dataset, Photo
from edgekit.data.annotations.faults import Faults, ReadingOptions
from edgekit.data.annotations.formats import collect_dataset
from edgekit.data.annotations.usable import readable, without_blank
from edgekit.data.images import list_images, read_image
from edgekit.errors import EdgekitError


@dataclass(frozen=True)
class ExtraData:
    """Photos beside those to learn the new classes from, and what the old classes' AP may fall by.

    ``val`` is annotated photos to hold out, or the share of the photos (0 to 1) to hold out; ``replay`` and
    ``old_data`` annotate old objects, to learn from and to measure the old classes' AP on; ``probe`` is a folder of
    photos to compare old detections on too.
    """

    val: Path | float | None = None
    replay: Path | None = None
    probe: Path | None = None
    old_data: Path | None = None
    max_old_drop: float | None = None  # AP points

    def __post_init__(self) -> None:
        if self.max_old_drop is not None and self.old_data is None:
            raise EdgekitError("--max-old-drop: nothing to measure the old classes' AP on", "give --old-data")


@dataclass(frozen=True)
class ProbePhoto:
    """A photo without annotations, to compare detections on."""

    path: Path

    def read(self) -> np.ndarray:
        """The pixels, RGB uint8 [H, W, 3]."""
        return read_image(self.path)


@dataclass(frozen=True)
class Inputs:
    """Photos by what they are for, and the classes to teach with their numbers of objects to learn from.

    ``refined`` are those of the classes that the base model has already.
    """

    classes: tuple[str, ...]
    objects: dict[str, int]
    learn: tuple[Photo, ...]
    held_out: Dataset
    replay: tuple[Photo, ...]
    probe: list[ProbePhoto]
    old: Dataset
    refined: tuple[str, ...] = ()
    faults: Faults = field(default_factory=Faults)  # what was repaired or left out
    made_masks: Mapping[str, MadeMasks] = field(default_factory=dict)  # of the objects to learn from, by class

    @property
    def added(self) -> tuple[str, ...]:
        """The classes that are new."""
        return tuple(name for name in self.classes if name not in self.refined)


def read_inputs(
    data: Path,
    images: Path,
    classes: tuple[str, ...],
    improve: tuple[str, ...],
    meta: ModelMeta,
    has_masks: bool,
    learning: Learning,
    extra: ExtraData,
    reading: ReadingOptions,
) -> Inputs:
    """Read everything ``adapt`` is given; joint scoring teaches the classes of the base model ``meta`` too.

    The photos of ``val``, ``replay`` and ``old_data`` are looked for beside the annotations, then in ``images``.
    """
    faults = Faults(reading)
    dataset = collect_dataset(AnnotationSource(data, (images,)), faults)
    given = {"val": None if isinstance(extra.val, float) else extra.val, "old": extra.old_data, "replay": extra.replay}
    parts = {"val": "val"}
    others = {name: collect_beside(file, images, parts.get(name, ""), faults) for name, file in given.items() if file}
    faults.raise_refused()
    added, known = choose_classes(dataset, classes, improve, meta, learning.joint), meta.categories
    taught = {*added, *known} if learning.joint else set(added)
    _refuse_alike(dataset, set(added), taught)
    for other in others.values():
        _refuse_alike(other, set(), {*added, *known})

    def sound(found: Dataset) -> Dataset:
        return replace(found, photos=tuple(readable(found.photos, faults, without_blank)))

    learn, none = sound(dataset), Dataset(data, dataset.categories, ())
    seen = {name: sound(other) for name, other in others.items()}
    probed = readable(map(ProbePhoto, list_images(extra.probe)), faults) if extra.probe else []
    faults.raise_refused()
    old, replay = seen.get("old", none), seen.get("replay", none)
    if "val" in seen:
        held_out = seen["val"]
        _count_objects(held_out, added, faults.left_out())
    else:
        share = extra.val if isinstance(extra.val, float) else None
        first, out = split(learn.photos, added, learning.seed, share)
        learn, held_out = replace(learn, photos=tuple(first)), replace(none, photos=tuple(out))
    if extra.old_data:
        _check_old(old, known)
    if has_masks and learning.masks_from_boxes == "none":
        for annotated, wanted in ((learn, taught), (replay, taught), (held_out, set(added))):
            _check_masks(annotated, wanted)
    objects = _count_objects(learn, added, faults.left_out())
    refined = tuple(name for name in added if name in known)
    return Inputs(added, objects, learn.photos, held_out, replay.photos, probed, old, refined, faults)


def _refuse_alike(dataset: Dataset, added: set[str], taught: set[str]) -> None:
    """Raise where an annotated class is nearly named as another that is added, or as one that is taught."""
    annotated = {a.category for p in dataset.photos for a in p.annotations}
    alike = find_alike(sorted(added), added) or find_alike(sorted(annotated - added - taught), taught)
    if alike:
        raise EdgekitError(
            f"{dataset.file}: the classes {alike}", "rename them: to one name if they are one class, else to two"
        )


def _check_old(old: Dataset, known: Sequence[str]) -> None:
    """Raise where old data annotates none of the base model's classes."""
    if not any(a.category in known and not a.iscrowd for p in old.photos for a in p.annotations):
        raise EdgekitError(
            f"{old.file}: annotates no object of the base model's classes", f"they are {', '.join(known[1:9])} ..."
        )


def _check_masks(dataset: Dataset, classes: set[str]) -> None:
    """Raise where an object of one of the classes has no mask."""
    for photo in dataset.photos:
        for item in photo.annotations:
            if item.category in classes and not item.iscrowd and item.segmentation is None:
                raise EdgekitError(
                    f"{photo.path}: an object of class {item.category} has a box but no mask in {dataset.file}",
                    "annotate polygons or RLE, or have masks made: --masks-from-boxes auto",
                )


def _count_objects(dataset: Dataset, classes: tuple[str, ...], left_out: Sequence[str]) -> dict[str, int]:
    """How many objects of each class there are; raises where one has none."""
    shown = Counter(a.category for p in dataset.photos for a in p.annotations if not a.iscrowd)
    for name in classes:
        if not shown[name]:
            more = f", or none that can be used ({left_out[0]})" if left_out else ""
            raise EdgekitError(f"class {name}: has no annotated object in {dataset.file}{more}", "annotate a few")
    return {name: shown[name] for name in classes}

"""What the methods are compared on: drawn scenes, and real photos."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.lib.noto import NOTO
from benchmarks.lib.paths import SHARED
from edgekit.data.annotations.dataset import Dataset, Photo
from edgekit.data.annotations.formats import read_dataset
from edgekit.demo.emoji import EmojiFont
from edgekit.demo.photo_sets import write_demo_set
from edgekit.demo.scenes import NEW_CLASSES

MSRC = SHARED / "msrc"
MSRC_BASE = Path("/tmp/msrc/base.safetensors")
MSRC_CLASSES = ("bird", "boat")
OLD_SCENES = 120  # of the base model's own kind, for the upper bound


@dataclass(frozen=True)
class Scenario:
    """A base model, photos to learn from in the order they are taken, and test sets."""

    base: str
    classes: tuple[str, ...]
    about: str
    shots: tuple[int, ...]  # photos
    new: tuple[Photo, ...]  # only the new classes annotated
    labelled: tuple[Photo, ...]  # the same, with all labels
    old: tuple[Photo, ...]
    tests: dict[str, Dataset]

    def take(self, shots: int) -> tuple[tuple[Photo, ...], tuple[Photo, ...], tuple[Photo, ...]]:
        """The first ``shots`` photos, the same with all labels, and a balanced set of old photos.

        A single photo is one that shows all new classes, if there is one.
        """
        order = list(range(len(self.new)))
        first = next((i for i in order if set(self.classes) <= _names(self.new[i])), 0)
        order = [first, *(i for i in order if i != first)][:shots]
        chosen, labelled = tuple(self.new[i] for i in order), tuple(self.labelled[i] for i in order)
        objects = sum(len(p.annotations) for p in chosen) / len(self.classes)
        return chosen, labelled, _balanced(self.old, objects)


def demo_scenario(work: Path, seed: int) -> Scenario:
    """Chicken and frog on the embedded model; tests in the drawing style it knows and in one it does not."""
    tests = {"mixed": scenes("mixed-test", 100, work), "old only": scenes("base-test", 100, work)}
    if NOTO.file.exists():
        tests["other drawing style"] = scenes("mixed-test", 100, work, font=NOTO)
    return Scenario(
        base="demo",
        classes=NEW_CLASSES,
        about="embedded Mask R-CNN, 12 classes; 100 mixed and 100 old-only scenes, 100 in Noto's drawings",
        shots=(1, 5, 10, 30, 60),
        new=scenes("new-train", 60, work, seed + 1).photos,
        labelled=scenes("new-train-labelled", 60, work, seed + 1).photos,
        old=scenes("base-train", OLD_SCENES, work, seed + 1000).photos,
        tests=tests,
    )


def msrc_scenario(work: Path, seed: int) -> Scenario:  # noqa: ARG001 (every scenario's signature)
    """Bird and boat on a model trained on the other 11 classes of MSRC's photos."""
    train = read_dataset(MSRC / "instances_train.json", MSRC / "images")
    test = read_dataset(MSRC / "instances_test.json", MSRC / "images")
    order = np.random.default_rng(seed).permutation(len(train.photos))
    photos = [train.photos[i] for i in order]
    labelled = tuple(_alternating([p for p in photos if _names(p) & set(MSRC_CLASSES)]))
    return Scenario(
        base=str(MSRC_BASE),
        classes=MSRC_CLASSES,
        about="Mask R-CNN MobileNetV2-FPN trained on 11 classes of MSRC's photos; all 143 test photos",
        shots=(5, 15, len(labelled)),
        new=tuple(_only(p, MSRC_CLASSES) for p in labelled),
        labelled=labelled,
        old=tuple(p for p in photos if not _names(p) & set(MSRC_CLASSES)),
        tests={"test": test},
    )


def scenes(split: str, count: int, work: Path, seed: int = 0, font: EmojiFont | None = None) -> Dataset:
    folder = work / "photos" / f"{split}-{count}-{seed}{'-noto' if font else ''}"
    if not (folder / "annotations.json").exists():
        write_demo_set(split, count, folder, seed, font=font)
    return read_dataset(folder / "annotations.json", folder)


def _balanced(photos: Sequence[Photo], objects: float) -> tuple[Photo, ...]:
    """The first photos that bring each class towards ``objects`` annotated objects."""
    counts: Counter[str] = Counter()
    chosen = []
    for photo in photos:
        if any(counts[name] < objects for name in _names(photo)):
            chosen.append(photo)
            counts.update(a.category for a in photo.annotations)
    return tuple(chosen)


def _alternating(photos: list[Photo]) -> list[Photo]:
    """The photos in turn by the first new class they show, so that any few show both."""
    parts = [[p for p in photos if (MSRC_CLASSES[0] in _names(p)) == first] for first in (True, False)]
    shorter = min(len(p) for p in parts)
    paired = [p for pair in zip(parts[0], parts[1], strict=False) for p in pair]
    return paired + parts[0][shorter:] + parts[1][shorter:]


def _only(photo: Photo, classes: tuple[str, ...]) -> Photo:
    return dataclasses.replace(photo, annotations=tuple(a for a in photo.annotations if a.category in classes))


def _names(photo: Photo) -> set[str]:
    return {a.category for a in photo.annotations}

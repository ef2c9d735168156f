"""Masks for objects with boxes only: how good they are where the truth is known, and which are used."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.adaptation.bases import open_base
from edgekit.adaptation.features.feature_cache import FeatureCache
from edgekit.adaptation.made_masks import dataset_with_masks
from edgekit.adaptation.mask_making.base_masks import BoxMasks
from edgekit.adaptation.mask_making.boxes_only import MadeMasks, count_made, make_masks
from edgekit.data.annotations.dataset import Dataset, Photo
from edgekit.processes import Processes

CLASSES = ("chicken", "frog")


def without_masks(photo: Photo, places: Sequence[int] | None = None) -> Photo:
    """The photo with the masks of all objects, or of those at some places, hidden."""
    hidden = (
        dataclasses.replace(a, segmentation=None) if places is None or i in places else a
        for i, a in enumerate(photo.annotations)
    )
    return dataclasses.replace(photo, annotations=tuple(hidden))


def hidden(data: Dataset) -> Dataset:
    return dataclasses.replace(data, photos=tuple(without_masks(p) for p in data.photos))


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


class Fixed:
    """Makes a filled mask for each box, always as much to be trusted, and counts the photos."""

    def __init__(self, agreement: float = 1.0, lacking: float = 0.0) -> None:
        self.key, self.agreement, self.lacking, self.photos = "fixed", agreement, lacking, 0

    def masks(self, _photo: np.ndarray, boxes: np.ndarray) -> BoxMasks:
        self.photos += 1
        every = torch.ones(len(boxes))
        return BoxMasks(torch.ones(len(boxes), 28, 28), self.agreement * every, self.lacking * every)


def made(
    photos: Sequence[Photo], by: Fixed, folder: Path, method: str = "auto", classes: Sequence[str] = CLASSES
) -> tuple[Photo, ...]:
    return make_masks(photos, classes, by, FeatureCache(folder, 1.0), Processes(), method)  # type: ignore[arg-type]


def test_made_masks_are_near_the_truth(new_train: Dataset) -> None:
    found = dataset_with_masks(open_base("demo"), hidden(new_train), method="base")
    pairs = [
        (a, b)
        for p, q in zip(found.photos, new_train.photos, strict=True)
        for a, b in zip(p.annotations, q.annotations, strict=True)
    ]
    assert all(a.mask_made and (a.bbox, a.area) == (b.bbox, b.area) for a, b in pairs)
    assert np.mean([overlap(a.mask(), b.mask()) for a, b in pairs]) > 0.75


def test_a_made_mask_lies_in_its_box(new_train: Dataset) -> None:
    found = dataset_with_masks(open_base("demo"), hidden(new_train))
    for item in (a for p in found.photos for a in p.annotations if a.mask_made):
        x, y, w, h = item.bbox
        rows, columns = np.nonzero(item.mask())
        assert rows.min() >= int(y) - 1
        assert rows.max() <= y + h
        assert columns.min() >= int(x) - 1
        assert columns.max() <= x + w


def test_annotated_masks_stay(new_train: Dataset, tmp_path: Path) -> None:
    mixed = [without_masks(p, [0]) for p in new_train.photos]
    found = made(mixed, Fixed(), tmp_path)
    for photo, before in zip(found, new_train.photos, strict=True):
        assert photo.annotations[0].mask_made
        assert photo.annotations[1:] == before.annotations[1:]


@pytest.mark.parametrize(("agreement", "lacking"), [(0.1, 0.0), (1.0, 9.0)])
def test_a_mask_that_cannot_be_trusted_is_not_used(
    agreement: float, lacking: float, new_train: Dataset, tmp_path: Path
) -> None:
    photos, by = hidden(new_train).photos, Fixed(agreement, lacking)
    assert made(photos, by, tmp_path) == photos
    assert all(a.mask_made for p in made(photos, by, tmp_path, "base") for a in p.annotations)


def test_other_classes_and_crowds_get_no_masks(new_train: Dataset, tmp_path: Path) -> None:
    photos = [
        dataclasses.replace(p, annotations=tuple(dataclasses.replace(a, iscrowd=True) for a in p.annotations))
        for p in hidden(new_train).photos
    ]
    by = Fixed()
    assert made(photos, by, tmp_path) == tuple(photos)
    others = hidden(new_train).photos
    assert made(others, by, tmp_path, classes=["duck"]) == others
    assert by.photos == 0


def test_what_was_made_once_is_in_the_cache(new_train: Dataset, tmp_path: Path) -> None:
    photos, by = hidden(new_train).photos, Fixed()
    first = made(photos, by, tmp_path)
    assert by.photos == len(photos)
    assert made(photos, by, tmp_path) == first
    assert by.photos == len(photos)


def test_made_masks_are_counted_by_class(new_train: Dataset, tmp_path: Path) -> None:
    objects = [a for p in new_train.photos for a in p.annotations]
    frogs = sum(a.category == "frog" for a in objects)
    assert count_made(new_train.photos, CLASSES) == {}
    assert count_made(hidden(new_train).photos, CLASSES)["frog"] == MadeMasks(frogs, 0)
    assert count_made(made(hidden(new_train).photos, Fixed(), tmp_path), CLASSES)["frog"] == MadeMasks(frogs, frogs)


def test_a_base_without_masks_makes_none(new_train: Dataset) -> None:
    base = open_base("demo")
    base.predictors.mask_predictor = None
    assert dataset_with_masks(base, hidden(new_train)).photos == hidden(new_train).photos

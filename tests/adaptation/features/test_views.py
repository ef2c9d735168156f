from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from edgekit.adaptation.features.views import plain_view, varied_view
from edgekit.data.annotations.dataset import Annotation, Dataset, Photo
from edgekit.data.detections import rle

LABELS = {"chicken": 13, "frog": 14}


def test_plain_view_is_the_photo(new_train: Dataset) -> None:
    photo = new_train.photos[0]
    view = plain_view(photo, LABELS, (320, 320))
    assert np.array_equal(view.pixels, photo.read())
    for mask, item in zip(view.masks, photo.annotations, strict=True):
        assert np.array_equal(mask, item.mask())


def test_smaller_canvas_shrinks_the_masks(new_train: Dataset) -> None:
    photo = new_train.photos[0]
    full, half = (plain_view(photo, LABELS, (s, s)) for s in (320, 160))
    assert np.allclose(half.boxes, full.boxes / 2, atol=1.5)


def test_varied_views_move_pixels_and_masks_together(new_train: Dataset) -> None:
    view = plain_view(new_train.photos[0], LABELS, (320, 320))
    marked = np.where(view.masks.any(axis=0)[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=2)
    source = dataclasses.replace(view, pixels=marked)
    for seed in range(5):
        varied = varied_view(source, np.random.default_rng(seed))
        bright = varied.pixels[..., 0] > 100
        for mask, box in zip(varied.masks, varied.boxes, strict=True):
            assert bright[mask].mean() > 0.9
            x0, y0, x1, y1 = box.astype(int)
            assert mask[y0:y1, x0:x1].sum() == mask.sum()


def made(photo: Photo) -> Photo:
    """The photo with objects whose masks are made: the left halves of the true ones."""
    items = []
    for item in photo.annotations:
        mask, (x, _, width, _) = item.mask(), item.bbox
        mask[:, int(x + width / 2) :] = False
        items.append(dataclasses.replace(item, segmentation=rle(mask), mask_made=True))
    return dataclasses.replace(photo, annotations=tuple(items))


def test_the_box_of_a_made_mask_is_the_annotated_one(new_train: Dataset) -> None:
    photo = new_train.photos[0]
    true, found = (plain_view(p, LABELS, (320, 320)) for p in (photo, made(photo)))
    assert np.allclose(found.boxes, true.boxes, atol=1)
    assert found.has_mask.all()
    for seed in range(5):
        first, second = (varied_view(v, np.random.default_rng(seed)) for v in (true, found))
        if len(first.labels) == len(second.labels):  # a half that is cropped may be left out
            assert np.allclose(first.boxes, second.boxes, atol=2)


def test_an_object_without_a_mask_has_none_in_its_views(new_train: Dataset) -> None:
    photo = new_train.photos[0]
    plain = dataclasses.replace(photo.annotations[0], segmentation=None)
    view = plain_view(dataclasses.replace(photo, annotations=(plain, *photo.annotations[1:])), LABELS, (320, 320))
    assert view.has_mask.tolist() == [False] + [True] * (len(view.labels) - 1)
    varied = varied_view(view, np.random.default_rng(0))
    assert (len(varied.has_mask), len(varied.drawn)) == (len(varied.labels),) * 2


def one_box(folder: Path, bbox: tuple[float, float, float, float], size: tuple[int, int]) -> int:
    """How many objects a view of ``size`` has of a photo of 100x100 pixels with one box."""
    file = folder / "photo.png"
    Image.new("RGB", (100, 100)).save(file)
    photo = Photo(1, file, 100, 100, (Annotation("frog", bbox, bbox[2] * bbox[3], None),))
    return len(plain_view(photo, LABELS, size).labels)


def test_a_box_at_the_border_is_seen(tmp_path: Path) -> None:
    assert one_box(tmp_path, (99.6, 10, 0.4, 20), (100, 100)) == 1
    assert one_box(tmp_path, (10, 99.7, 20, 0.3), (100, 100)) == 1


def test_a_box_too_small_for_the_canvas_is_not(tmp_path: Path) -> None:
    assert one_box(tmp_path, (50, 50, 1, 1), (32, 32)) == 0

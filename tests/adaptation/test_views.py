from __future__ import annotations

import numpy as np

from edgekit.adaptation.views import plain_view, varied_view
from edgekit.data.coco import Dataset

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
    source = type(view)(marked, view.boxes, view.labels, view.masks, view.crowds)
    for seed in range(5):
        varied = varied_view(source, np.random.default_rng(seed))
        bright = varied.pixels[..., 0] > 100
        for mask, box in zip(varied.masks, varied.boxes, strict=True):
            assert bright[mask].mean() > 0.9
            x0, y0, x1, y1 = box.astype(int)
            assert mask[y0:y1, x0:x1].sum() == mask.sum()

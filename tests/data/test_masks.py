from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image

from edgekit.data.detections import rle
from edgekit.data.masks import crops, encode, paste

SIZES = [(180, 240), (37, 400), (301, 61)]


def random_boxes(rng: np.random.Generator, count: int, size: tuple[int, int], largest: float) -> np.ndarray:
    """Boxes of which many cross the photo's border, but none lies beside it (torchvision fails on those)."""
    height, width = size
    corners = rng.uniform(-largest / 2, 0, (count, 2)) + rng.uniform(0, 1, (count, 2)) * (width, height)
    boxes = np.concatenate([corners, corners + rng.uniform(0.1, largest, (count, 2))], 1).astype(np.float32)
    return boxes[(boxes[:, :2] < (width - 2, height - 2)).all(1) & (boxes[:, 2:] > 2).all(1)]


TIE = 1e-5  # float32 holds a position among 30 cells to 2e-6


def torchvision_masks(masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """What torchvision pastes, in the type of the masks."""
    return paste_masks_in_image(torch.from_numpy(masks)[:, None], torch.from_numpy(boxes), size)[:, 0].numpy()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("largest", [8, 60, 500])
def test_every_pixel_but_ties_is_torchvisions(size: tuple[int, int], largest: float) -> None:
    rng = np.random.default_rng(0)
    boxes = random_boxes(rng, 80, size, largest)
    crossing = (boxes[:, :2] < 0).any(1) | (boxes[:, 2:] > size[::-1]).any(1)
    assert crossing.sum() >= 3
    noise = rng.random((len(boxes), 28, 28), np.float32)
    for masks, threshold in (
        (noise, 0.3),
        (np.round(4 * noise) / 4, 0.5),  # many values are the threshold itself
        (np.float32(0.5) + np.float32(1e-7) * rng.integers(-1, 2, noise.shape).astype(np.float32), 0.5),
        (np.full_like(noise, 0.5), 0.5),
        (np.nextafter(np.full_like(noise, 0.5), np.float32(1)), 0.5),
    ):
        exact = torchvision_masks(masks.astype(np.float64), boxes, size)
        is_tie = np.abs(exact - threshold) < 1e-5  # float32 holds a position among 30 cells to 2e-6
        assert not ((paste(masks, boxes, size, threshold) != (exact > threshold)) & ~is_tie).any()


def test_masks_as_a_model_gives_them_have_no_ties() -> None:
    rng = np.random.default_rng(2)
    boxes = random_boxes(rng, 40, (180, 240), 60)
    masks = rng.random((len(boxes), 28, 28), np.float32)
    assert (paste(masks, boxes, (180, 240)) == (torchvision_masks(masks, boxes, (180, 240)) > 0.5)).mean() > 1 - 1e-6


def test_crops_and_encodings_are_the_pasted_masks() -> None:
    rng = np.random.default_rng(1)
    size = (90, 120)
    boxes = random_boxes(rng, 60, size, 90)
    masks = rng.random((len(boxes), 28, 28), np.float32)
    pasted = paste(masks, boxes, size)
    assert encode(masks, boxes, size) == [rle(m) for m in pasted]
    for crop, whole in zip(crops(masks, boxes, size), pasted, strict=True):
        height, width = crop.mask.shape
        assert np.array_equal(crop.mask, whole[crop.top : crop.top + height, crop.left : crop.left + width])
        assert crop.mask.sum() == whole.sum()


def test_a_full_mask_that_touches_every_edge_encodes() -> None:
    masks, boxes = np.ones((1, 28, 28), np.float32), np.array([[-50, -50, 90, 90]], np.float32)
    assert encode(masks, boxes, (40, 40)) == [rle(np.ones((40, 40), bool))]


def test_boxes_outside_the_photo_and_no_boxes_give_nothing() -> None:
    masks = np.ones((3, 28, 28), np.float32)
    boxes = np.array([[-90, 5, -50, 30], [300, 5, 350, 30], [5, 900, 30, 950]], np.float32)
    assert not paste(masks, boxes, (40, 60)).any()
    assert [c.mask.sum() for c in crops(masks, boxes, (40, 60))] == [0, 0, 0]
    assert encode(masks, boxes, (40, 60)) == [rle(np.zeros((40, 60), bool))] * 3
    assert paste(masks[:0], boxes[:0], (40, 60)).shape == (0, 40, 60)
    assert crops(masks[:0], boxes[:0], (40, 60)) == []
    assert encode(masks[:0], boxes[:0], (40, 60)) == []

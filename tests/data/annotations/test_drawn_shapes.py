"""Drawn shapes as polygons and RLE, against the same pixels set in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from edgekit.data.annotations.drawn_shapes import (
    checked_size,
    ellipse_outline,
    enclosing_box,
    rectangle_outline,
    rle_of_patch,
    rle_with_holes,
)

H, W = 60, 80


def square(left: int, top: int, right: int, bottom: int) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def filled(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    pixels = np.zeros((H, W), bool)
    pixels[max(top, 0) : bottom, max(left, 0) : right] = True
    return pixels


def test_a_square_with_holes_is_what_is_between_them() -> None:
    rle = rle_with_holes([(square(10, 5, 50, 45), [square(20, 10, 30, 20), square(35, 30, 45, 40)])], (H, W))
    wanted = filled(10, 5, 50, 45) & ~filled(20, 10, 30, 20) & ~filled(35, 30, 45, 40)
    assert (coco_mask.decode(rle).astype(bool) == wanted).all()


def test_parts_with_holes_are_one_mask_and_are_cut_at_the_photo() -> None:
    parts = [(square(-20, -9, 15, 12), [square(-5, -5, 5, 5)]), (square(60, 40, 900, 900), [])]
    wanted = filled(-20, -9, 15, 12) & ~filled(-5, -5, 5, 5) | filled(60, 40, 900, 900)
    assert (coco_mask.decode(rle_with_holes(parts, (H, W))).astype(bool) == wanted).all()


def test_a_polygon_on_its_small_canvas_has_the_pixels_it_has_on_the_photo() -> None:
    random = np.random.default_rng(3)
    for _ in range(50):
        outline = random.uniform(-10, 90, 16).tolist()
        drawn = coco_mask.decode(coco_mask.frPyObjects([outline], H, W))[..., 0]
        assert (coco_mask.decode(rle_with_holes([(outline, [])], (H, W))) == drawn).all()


@pytest.mark.parametrize("outline", [[1.0, 1.0, 5.0, 5.0], [0.0, 0.0, float("nan"), 4.0, 5.0, 6.0]])
def test_what_is_no_polygon_is_refused(outline: list[float]) -> None:
    with pytest.raises(ValueError, match=r"polygon of 2 points|not a number"):
        rle_with_holes([(outline, [])], (H, W))


@pytest.mark.parametrize(("top", "left"), [(0, 0), (-3, -4), (50, 70), (7, 11), (-100, 0), (0, 200)])
@pytest.mark.parametrize("shape", [(10, 12), (60, 5), (64, 90), (1, 1)])
def test_a_patch_lies_where_it_was_put(top: int, left: int, shape: tuple[int, int]) -> None:
    patch = np.random.default_rng(5).random(shape) > 0.3
    wanted = np.zeros((H, W), bool)
    for row, column in zip(*np.nonzero(patch), strict=True):
        if 0 <= top + row < H and 0 <= left + column < W:
            wanted[top + row, left + column] = True
    rle = rle_of_patch(patch, top, left, (H, W))
    assert (coco_mask.decode(rle).astype(bool) == wanted).all()
    if wanted.any():  # runs that go on in the next column are one: else COCO's box is wrong
        rows, columns = np.nonzero(wanted)
        size = [np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert coco_mask.toBbox(rle).tolist() == [columns.min(), rows.min(), *size]


def test_a_full_patch_is_one_run() -> None:
    rle = rle_of_patch(np.ones((H, W), bool), 0, 0, (H, W))
    assert coco_mask.area(rle) == H * W
    assert coco_mask.toBbox(rle).tolist() == [0, 0, W, H]


def test_ellipses_and_rectangles_turn_clockwise() -> None:
    x, y, w, h = enclosing_box(ellipse_outline((40, 30), (20, 5), 90))
    assert (x, y, w, h) == pytest.approx((35, 10, 10, 40))
    corners = rectangle_outline((10, 10, 20, 5), (10, 10), 90)  # around its first corner
    assert corners == pytest.approx([10, 10, 10, 30, 5, 30, 5, 10])


def test_sizes_that_no_photo_has_are_refused() -> None:
    assert checked_size("60", 80.0) == (60, 80)
    for size in ((0, 80), (60, -1), (None, 80), ("wide", 80), (10**6, 10**6)):
        with pytest.raises(ValueError, match="listed as"):
            checked_size(*size)

"""Polygons and RLE are checked before they are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from edgekit.data.annotations.annotation_records import Patch
from edgekit.data.annotations.fault_kinds import Unusable
from edgekit.data.annotations.outlines import Outlines, encode_patch, read_polygon, read_rle, run_lengths

SIZE = (40, 60)


def random_mask(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random(SIZE) < rng.random()).astype(np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_compressed_runs_are_pycocotools(seed: int) -> None:
    mask = random_mask(seed)
    encoded = coco_mask.encode(np.asfortranarray(mask))
    runs = run_lengths(encoded["counts"].decode()).astype(int)
    pixels = np.repeat(np.arange(len(runs)) % 2, runs).reshape(SIZE, order="F")
    assert np.array_equal(pixels, mask)
    for counts in (runs.tolist(), encoded["counts"], encoded["counts"].decode()):
        assert np.array_equal(coco_mask.decode(read_rle({"size": list(SIZE), "counts": counts}, SIZE)), mask)


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [60, 40], "counts": [2400]},
        {"size": [40, 60], "counts": [2399]},
        {"size": [40, 60], "counts": [2500, -100]},
        {"size": [40, 60], "counts": []},
        {"size": [40, 60], "counts": [1e300, 5]},
        {"size": [40, 60], "counts": [10**400]},
        {"size": [40, 60], "counts": ""},
        {"size": [40, 60], "counts": "ä"},
        {"size": [40, 60], "counts": "\x7f\x7f"},
        {"size": [40, 60], "counts": "oooooooooooooooo0"},
        {"size": [40, 60], "counts": "o"},
        {"size": [40, 60], "counts": 7},
        {"size": [40, 60], "counts": None},
        {"size": 7, "counts": "0"},
        {"counts": "0"},
        {"size": [40, 60]},
    ],
)
def test_bad_rle_is_refused(rle: Any) -> None:
    with pytest.raises(Unusable):
        read_rle(rle, SIZE)


@pytest.mark.parametrize("seed", range(3))
def test_truncated_text_is_refused(seed: int) -> None:
    text = coco_mask.encode(np.asfortranarray(random_mask(seed)))["counts"].decode()
    for end in range(len(text)):
        with pytest.raises(Unusable):
            read_rle({"size": list(SIZE), "counts": text[:end]}, SIZE)


@pytest.mark.parametrize("far", [1e10, 3e7, -1e5, 1e300])
def test_far_coordinates_never_reach_pycocotools(far: float) -> None:
    with pytest.raises(Unusable):
        read_polygon([10, 10, far, 10, 20, 20], (1, 1), SIZE, lambda _: None)


def polygon(*values: float) -> np.ndarray:
    return np.array(values, np.float64).reshape(-1, 2)


def test_which_polygons_cross_themselves_and_which_have_no_area() -> None:
    square, bow_tie = polygon(5, 5, 35, 5, 35, 35, 5, 35), polygon(5, 5, 35, 35, 35, 5, 5, 35)
    line = polygon(5, 5, 35, 35, 20, 20)
    outside = polygon(-20, -20, 35, 5, 35, 35)
    drawn = Outlines([square, bow_tie, line, outside], SIZE)
    assert drawn.crosses.tolist() == [False, True, False, False]
    assert drawn.is_empty.tolist() == [False, False, True, False]
    assert coco_mask.area(drawn.drawn[1]) == pytest.approx(450, abs=20)


@pytest.mark.parametrize(("top", "left"), [(3, 4), (-2, -3), (38, 57), (100, 100)])
def test_patches_are_cut_at_the_photo(top: int, left: int) -> None:
    mask = coco_mask.decode(encode_patch(Patch(top, left, np.ones((5, 6), bool)), SIZE))
    expected = np.zeros((300, 300))
    expected[100 + top : 105 + top, 100 + left : 106 + left] = 1
    assert np.array_equal(mask, expected[100:140, 100:160])

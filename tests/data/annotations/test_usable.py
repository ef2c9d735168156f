"""Photos and objects where there is nothing to see are told from those where there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.data.annotations.dataset import Annotation, Photo
from edgekit.data.annotations.usable import without_blank

H, W = 120, 160


def annotation(x: float, y: float, w: float, h: float, iscrowd: bool = False) -> Annotation:
    return Annotation("frog", (x, y, w, h), w * h, None, iscrowd)


def photo(*annotations: Annotation) -> Photo:
    return Photo(1, Path("a.jpg"), H, W, annotations)


def half_noise() -> np.ndarray:
    """Noise on the left, white on the right."""
    pixels = np.full((H, W, 3), 255, np.uint8)
    pixels[:, : W // 2] = np.random.default_rng(0).integers(0, 256, (H, W // 2, 3))
    return pixels


@pytest.mark.parametrize("colour", [0, 255, (10, 200, 30)])
def test_a_photo_of_one_colour_is_left_out(colour: object, tmp_path: Path) -> None:
    pixels = np.broadcast_to(np.array(colour, np.uint8), (H, W, 3))
    for given in (photo(), photo(annotation(10, 10, 30, 30))):
        used, said = without_blank(given, pixels)
        assert used is None
        assert said == "a.jpg: is of one colour all over, so it was left out"
    noisy = pixels.astype(int) + np.random.default_rng(0).integers(-1, 2, (H, W, 3))
    assert without_blank(photo(), noisy.clip(0, 255).astype(np.uint8))[0] is None


def test_objects_on_nothing_are_left_out() -> None:
    good, blank = annotation(20, 20, 30, 30), annotation(100, 20, 30, 30)
    used, said = without_blank(photo(good, blank, good), half_noise())
    assert used is not None
    assert used.annotations == (good, good)
    assert said == "a.jpg: 1 of 3 annotated objects lie where the photo is of one colour, so these were left out"
    used, said = without_blank(photo(blank, blank), half_noise())
    assert used is None
    assert "2 of 2" in said


def test_what_shows_something_stays_as_it_is() -> None:
    crowd = annotation(100, 20, 30, 30, iscrowd=True)
    given = photo(annotation(20, 20, 30, 30), crowd)
    assert without_blank(given, half_noise()) == (given, "")
    assert without_blank(photo(), half_noise()) == (photo(), "")
    one_pixel = np.zeros((H, W, 3), np.uint8)
    one_pixel[77, 101] = 40
    assert without_blank(photo(), one_pixel) == (photo(), "")


@pytest.mark.parametrize("box", [(40, 30, 20, 20), (0, 0, 20, 20), (W - 20, H - 20, 20, 20)])
def test_a_drawn_object_of_one_colour_has_an_edge(box: tuple[int, int, int, int]) -> None:
    x, y, w, h = box
    pixels = np.full((H, W, 3), 255, np.uint8)
    pixels[y : y + h, x : x + w] = (200, 0, 0)
    given = photo(annotation(*box))
    assert without_blank(given, pixels) == (given, "")

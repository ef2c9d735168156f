"""Which canvas suits photos: landscape and portrait ones, both, and shapes that no canvas of the model suits."""

from __future__ import annotations

from dataclasses import replace

from edgekit.artifacts.detector_settings import DetectorSettings
from edgekit.artifacts.input_sizes import choose_input_size, median_share

USUAL = DetectorSettings()  # 800 pixels, at most 1333: a canvas of 800x1088
LANDSCAPE, PORTRAIT = (480, 640), (640, 480)


def test_the_models_own_canvas_stays_where_it_suits_the_photos() -> None:
    for photos in ([LANDSCAPE], [(533, 800)] * 3, [LANDSCAPE] * 19 + [PORTRAIT]):
        choice = choose_input_size(USUAL, photos)
        assert choice.size == choice.default == (800, 1088)
        assert choice.notes == ()


def test_portrait_photos_get_a_portrait_canvas() -> None:
    choice = choose_input_size(USUAL, [PORTRAIT] * 10)
    assert choice.size == (1088, 800)
    assert choice.share == 1.0
    assert round(choice.default_share, 2) == 0.75  # 800 of the 1067 rows that the resizing rule gives
    assert len(choice.notes) == 1
    assert "1088x800" in choice.notes[0]
    assert "75%" in choice.notes[0]


def test_both_orientations_get_the_smallest_canvas_that_suits_both() -> None:
    choice = choose_input_size(USUAL, [LANDSCAPE, PORTRAIT] * 5)
    assert choice.size == (1088, 1088)
    assert min(median_share(USUAL, choice.size, [shape]) for shape in (LANDSCAPE, PORTRAIT)) >= 1.0


def test_a_canvas_in_between_is_enough_where_all_run_near_their_scale_on_it() -> None:
    shapes = [(600, 640), (640, 600)] * 5
    choice = choose_input_size(USUAL, shapes)
    assert choice.size == choice.default  # 94% and 100%


def test_photos_too_wide_and_too_tall_for_one_canvas_get_the_nearest() -> None:
    rule = replace(USUAL, min_side=320, max_side=640)
    photos = [(100, 900)] * 3 + [(900, 100)] * 2 + [(500, 500)] * 2
    choice = choose_input_size(rule, photos)
    assert choice.size == (640, 640)  # the only one on which all run at full scale
    assert choice.share >= 1.0


def test_square_rules_need_no_other_canvas() -> None:
    square = replace(USUAL, min_side=320, max_side=320)
    assert choose_input_size(square, [LANDSCAPE, PORTRAIT, (500, 500)]).size == (320, 320)

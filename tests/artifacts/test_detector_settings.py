from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifacts.detector_settings import DetectorSettings, changed_by_file, read_settings
from edgekit.errors import EdgekitError

USUAL = DetectorSettings()


def test_it_survives_json() -> None:
    settings = USUAL.changed({"mean": [0.5, 0.5, 0.5], "anchor_strides": [4, 8, 16, 32, 64]}, "config")
    again = DetectorSettings.from_values(json.loads(json.dumps(dataclasses.asdict(settings))))
    assert again == settings
    assert again.origins == {"mean": "config", "anchor_strides": "config"}
    assert again.identity == settings.identity != USUAL.identity


def test_origins_do_not_make_another_detector() -> None:
    assert USUAL.changed({"detections": 100}, "assumed: a default") == USUAL
    assert USUAL.changed({"detections": 100}, "assumed: a default").assumed() == ("detections",)
    assert (
        USUAL.changed({"detections": 100}, "assumed: a default").changed({"detections": 100}, "option").assumed() == ()
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"anchors_round": 3}, "anchors_round: is not a setting; there is anchors_rounded"),
        ({"mean": [123.7, 116.3, 103.5]}, r"mean \[123.7, 116.3, 103.5\]: give RGB in 0..1, not in 0..255"),
        ({"std": [58.4, 57.1, 57.4]}, "std .*not in 0..255"),
        ({"mean": [0.5, 0.5]}, "mean: give 3 numbers"),
        ({"detections": "many"}, "detections: 'many' is not int"),
        ({"detections": 10.5}, "detections: 10.5 is not int"),
        ({"detections": True}, "detections: True is not int"),
        ({"detections": 0}, "detections 0: give a number above 0"),
        ({"masks": 1}, "masks: 1 is not bool"),
        ({"rpn_nms": 7}, "rpn_nms 7.0: give a number of 0 to 1"),
        ({"anchor_sizes": [[32], [64]]}, "anchor_sizes: has 2 levels, the FPN has 5"),
        ({"anchor_sizes": [[32], [64], [128], [256], []]}, "give numbers above 0 for every level"),
        ({"anchor_sizes": [[-32], [64], [128], [256], [512]]}, "give numbers above 0"),
        ({"anchor_sizes": 32}, "anchor_sizes: 32 is not a list"),
        ({"extra_level": "p6"}, "extra_level p6: give one of: pool, none"),
        ({"min_side": float("inf")}, "min_side: inf is not int"),
        ({"norm_eps": float("nan")}, "norm_eps: nan is not float"),
    ],
)
def test_values_that_cannot_be(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        USUAL.changed(values, "file")


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "{1: 2}", "detections", "&a [*a]"])
def test_files_that_hold_no_settings(text: str, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(EdgekitError, match=r"settings\.yaml: (holds no settings|not readable)"):
        read_settings(tmp_path / "settings.yaml")


@pytest.mark.parametrize("text", ['{"norm_eps": 1e-05}', "norm_eps: 1e-05", "norm_eps: 0.00001"])
def test_small_numbers_as_python_and_yaml_write_them(text: str, tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(text)
    values = read_settings(tmp_path / "own.json")
    assert changed_by_file(DetectorSettings(norm_eps=0.0), values, tmp_path / "own.json").norm_eps == 1e-5


def test_the_canvas_follows_the_resizing_rule_and_the_photos() -> None:
    assert USUAL.input_size == (800, 1088)
    assert USUAL.input_size_for((1600, 1200)) == (1088, 800)
    assert USUAL.input_size_for((3000, 1000)) == (1344, 448)  # the longer side's limit counts
    assert USUAL.photo_scale((480, 640)) == pytest.approx(800 / 480)
    small = USUAL.changed({"min_side": 320, "max_side": 320}, "file")
    assert small.input_size == (320, 320)
    assert small.input_size_for((640, 480)) == (320, 256)

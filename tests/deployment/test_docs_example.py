"""docs/examples/onnxruntime_only.py: a graph is used without edgekit, and finds what edgekit finds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from edgekit.data.images import SAMPLE_PHOTOS
from edgekit.inference.predict import predict

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "onnxruntime_only.py"


def without_edgekit(model: Path, photo: Path) -> list[dict]:
    """The example's rows, from a process in which importing edgekit or torch fails."""
    block = "import sys, runpy; sys.modules['edgekit'] = sys.modules['torch'] = None; sys.argv = sys.argv[1:]; "
    run = [sys.executable, "-c", f"{block}runpy.run_path(sys.argv[0])", str(EXAMPLE), str(model), str(photo)]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_it_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 30


@pytest.mark.parametrize("number", [0, 3])
def test_it_finds_what_edgekit_finds(number: int, adapted_onnx: Path, tmp_path: Path) -> None:
    photo = SAMPLE_PHOTOS / f"{number}.jpg"
    theirs = without_edgekit(adapted_onnx, photo)
    ours = predict(adapted_onnx, [photo])[0].detections
    assert len(ours) > 0
    assert [t["category"] for t in theirs] == [o["category"] for o in ours]
    for their, own in zip(theirs, ours, strict=True):
        x, y, width, height = own["bbox"]
        assert np.allclose(their["box"], [x, y, x + width, y + height], atol=1e-3)
        assert abs(their["score"] - own["score"]) < 1e-6
        assert abs(their["mask_pixels"] - coco_mask.area(own["segmentation"])) <= 0.01 * their["mask_pixels"] + 2

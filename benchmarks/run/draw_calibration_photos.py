"""Draw the photos of calibration/demo.json into calibration/demo.

python -m benchmarks.run.draw_calibration_photos
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.lib.paths import ROOT
from edgekit.demo.photo_sets import write_demo_set

DESCRIPTION = ROOT / "calibration" / "demo.json"
COUNT, SEED = 32, 7


def drawn_calibration_set() -> Path:
    """The set's description; its photos are drawn if they are not there."""
    if not DESCRIPTION.with_suffix("").is_dir():
        write_demo_set("base-train", COUNT, DESCRIPTION.with_suffix(""), seed=SEED)
    return DESCRIPTION


if __name__ == "__main__":
    drawn_calibration_set()

"""How long `edgekit check` takes without a base model, and how much memory.

    python -m benchmarks.run.check_speed --output benchmarks/results/check_speed.json

The photos are those of ../shared/real/everyday: 2,030 to learn from and 615 held out, long side at most 400 pixels; and
60 photos of 12 megapixels, which are drawn, as cameras of phones take them. Each check runs in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.lib.by_machine import add
from benchmarks.lib.paths import SHARED
from benchmarks.lib.processes import in_a_process
from edgekit.artifacts.metadata import tool_versions
from edgekit.checking.check import check
from edgekit.data.annotations.coco import write_dataset
from edgekit.data.annotations.dataset import Annotation, Dataset, Photo
from edgekit.demo.scenes import render_scene
from edgekit.measurement.machine.system import machine

EVERYDAY = SHARED / "real" / "everyday"
LARGE, LARGE_SIZE = 60, (3000, 4000)
LIMITS = {"seconds": 60, "peak_rss_mb": 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="result file to add this machine to (.json)")
    options = parser.parse_args()
    result: dict[str, Any] = {
        "limits": LIMITS,
        "machine": machine(),
        "versions": tool_versions(),
        "load_average_before": os.getloadavg()[0],
    }
    with tempfile.TemporaryDirectory() as folder:
        val = EVERYDAY / "instances_val.json"
        sets: dict[str, tuple[Path, Path, Path | None]] = {}
        sets["everyday"] = EVERYDAY / "instances_train.json", EVERYDAY / "images", val
        sets[f"{LARGE} photos of 12 megapixels"] = large_photos(Path(folder)), Path(folder), None
        for name, (data, images, held_out) in sets.items():
            result[name] = in_a_process(timed_check, data, images, held_out, Path(folder) / "check.html")
            print(f"{name}: {result[name]}")
    add(options.output, result)


def timed_check(data: Path, images: Path, val: Path | None, page: Path) -> dict[str, Any]:
    began = time.monotonic()
    result = check(data, images, output=page, val=val, force=True)
    return {
        "seconds": round(time.monotonic() - began, 1),
        "photos": result.photos,
        "held_out": result.held_out,
        "objects": sum(facts.objects for facts in result.classes),
        "near_duplicate_groups": len(result.duplicates),
        "held_out_photos_like_learned_ones": sum(len(g.held_out) for g in result.duplicates if g.over_the_split),
        "page_mb": round(page.stat().st_size / 1e6, 1),
    }


def large_photos(folder: Path) -> Path:
    photos = []
    for number in range(LARGE):
        path = folder / f"{number:02}.jpg"
        scene = render_scene("mixed-test", number)
        Image.fromarray(scene.image).resize(LARGE_SIZE[::-1], Image.Resampling.BILINEAR).save(path, quality=92)
        boxes = [_box(item.mask, np.array(LARGE_SIZE) / item.mask.shape) for item in scene.objects if item.mask.any()]
        items = [Annotation("object", box, box[2] * box[3], None) for box in boxes]
        photos.append(Photo(number + 1, path, *LARGE_SIZE, tuple(items)))
    dataset = Dataset(folder / "large.json", ("object",), tuple(photos))
    write_dataset(dataset)
    return dataset.file


def _box(mask: np.ndarray, scale: np.ndarray) -> tuple[float, float, float, float]:
    ys, xs = np.nonzero(mask)
    top, left = float(ys.min() * scale[0]), float(xs.min() * scale[1])
    return left, top, float((xs.max() + 1) * scale[1]) - left, float((ys.max() + 1) * scale[0]) - top


if __name__ == "__main__":
    main()

"""How long reading and checking 100,000 annotations takes, and how much memory.

    python -m benchmarks.run.annotation_reading --work /tmp/reading --output benchmarks/results/annotation_reading.json

The set is COCO JSON of 10,000 photos of 640x480 pixels (grey JPEGs) with 10 objects each: polygons of 20 points around
circles, with their boxes and areas. "file" is the time to parse the JSON alone, "headers" to open every file for
its size, "names" to find the photos. All but "read" are parts of "read".
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.lib.processes import in_a_process
from edgekit.artifacts.metadata import tool_versions
from edgekit.data.annotations.formats import read_dataset
from edgekit.data.annotations.photo_files import photo_size
from edgekit.data.annotations.photo_search import find_photos
from edgekit.files.whole_files import write_text
from edgekit.measurement.machine.system import machine

WIDTH, HEIGHT = 640, 480
POINTS = 20  # of each polygon


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the annotations and photos")
    parser.add_argument("--output", type=Path, required=True, help="result file to write (.json)")
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--objects", type=int, default=10, help="of each photo")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    file = write_set(args.work, args.photos, args.objects)
    seconds: dict[str, list[float]] = {}
    peaks = []
    for _ in range(args.rounds):
        measured = in_a_process(measure, file)
        peaks.append(measured.pop("peak_rss_mb"))
        for name, value in measured.items():
            seconds.setdefault(name, []).append(value)
    result = {
        "photos": args.photos,
        "annotations": args.photos * args.objects,
        "points": POINTS,
        "file_mb": round(file.stat().st_size / 2**20, 1),
        "median_seconds": {name: round(float(np.median(values)), 2) for name, values in seconds.items()},
        "seconds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
        "peak_rss_mb": max(peaks),
        "machine": machine(),
        "versions": tool_versions(),
    }
    write_text(args.output, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def write_set(work: Path, photos: int, objects: int) -> Path:
    """Write the photos and annotations, unless the folder holds them."""
    images = work / f"images-{photos}"
    file = work / f"annotations-{photos}-{objects}.json"
    if file.exists():
        return file
    images.mkdir(parents=True, exist_ok=True)
    pixels = Image.new("L", (WIDTH, HEIGHT), 128)
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for number in range(photos):
        pixels.save(images / f"{number:06d}.jpg")
        for _ in range(objects):
            rows.append(annotation(rng, number, len(rows)))
    listed = [{"id": i, "file_name": f"{i:06d}.jpg", "width": WIDTH, "height": HEIGHT} for i in range(photos)]
    categories = [{"id": i, "name": f"class {i}"} for i in range(10)]
    write_text(file, json.dumps({"images": listed, "annotations": rows, "categories": categories}))
    return file


def annotation(rng: np.random.Generator, image: int, number: int) -> dict[str, Any]:
    """An outline around a circle of 10 to 60 pixels radius."""
    radius = rng.uniform(10, 60)
    x, y = rng.uniform(radius, WIDTH - radius), rng.uniform(radius, HEIGHT - radius)
    turns = 2 * math.pi * np.arange(POINTS) / POINTS
    radii = radius * rng.uniform(0.8, 1.0, POINTS)
    points = np.round(np.stack([x + radii * np.cos(turns), y + radii * np.sin(turns)], axis=1), 2)
    low, size = points.min(axis=0), np.ptp(points, axis=0)
    box = [round(float(value), 2) for value in (*low, *size)]
    about = {"id": number, "image_id": image, "category_id": int(rng.integers(10)), "iscrowd": 0}
    return about | {"bbox": box, "area": round(box[2] * box[3] * 0.7, 2), "segmentation": [points.ravel().tolist()]}


def measure(file: Path) -> dict[str, float]:
    """Seconds of the whole and, afterwards, of its parts."""
    folder = file.parent / f"images-{file.stem.split('-')[1]}"
    images = sorted(folder.iterdir())
    return {
        "read": timed(lambda: read_dataset(file, folder)),
        "file": timed(lambda: json.loads(file.read_text())),
        "names": timed(lambda: find_photos([image.name for image in images], [folder])),
        "headers": timed(lambda: [photo_size(image) for image in images]),
    }


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

"""How long pasting 100 masks into a 1080p photo takes on one core, and how many pixels differ from torchvision's.

    python -m benchmarks.run.paste_masks --output benchmarks/results/paste_masks.json

Boxes are drawn from the log-normal distribution fitted to the 1363 annotated objects of the photos in ../shared/photos
(sides relative to the photo's; the correlation of width and height is kept), so that few are large and most are small.
Masks are smooth random blobs, as a mask branch gives; noise, in which every pixel column flips many times, is the worst
case. edgekit's three forms and torchvision take turns in one run.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image

from benchmarks.lib.by_machine import add
from edgekit.artifacts.metadata import tool_versions
from edgekit.data.masks import crops, encode, paste
from edgekit.measurement.machine.system import machine

PHOTO = (1080, 1920)
OBJECTS = 100
# Mean and covariance of the logarithms of width and height, as shares of the photo's.
LOG_MEAN, LOG_COVARIANCE = (-2.39, -2.07), ((1.28, 0.91), (0.91, 1.15))
LIMIT_MS = 15.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="result file to add this machine to (.json)")
    parser.add_argument("--scenes", type=int, default=20, help="sets of 100 boxes, each timed five times")
    options = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        "photo": PHOTO,
        "objects": OBJECTS,
        "limit_ms": LIMIT_MS,
        "machine": machine(),
        "versions": tool_versions(),
        "load_average_before": os.getloadavg()[0],
    }
    for kind, make in (("blobs", blobs), ("noise", noise)):
        result[kind] = measure(make, options.scenes)
        times = ", ".join(f"{n} {t['p50']:.1f}" for n, t in result[kind]["ms"].items())
        print(f"{kind}: {times} ms (p50); {result[kind]['different_bits']} different bits")
    add(options.output, result)


def measure(make: Callable[[np.random.Generator], np.ndarray], scenes: int) -> dict[str, Any]:
    """Time all forms on the same sets of boxes and masks."""
    rng = np.random.default_rng(0)
    ms: dict[str, list[float]] = {"crops": [], "encode": [], "paste": [], "torchvision": []}
    different, areas = 0, []
    for _ in range(scenes):
        boxes, masks = typical_boxes(rng), make(rng)
        areas.append((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) / (PHOTO[0] * PHOTO[1]))
        tensors = torch.from_numpy(masks)[:, None], torch.from_numpy(boxes)
        ours = paste(masks, boxes, PHOTO)
        theirs = paste_masks_in_image(*tensors, PHOTO)[:, 0].numpy() > 0.5
        different += int((ours != theirs).sum())
        del ours, theirs
        for _ in range(5):
            for name, form in (("crops", crops), ("encode", encode), ("paste", paste)):
                ms[name].append(timed(form, masks, boxes, PHOTO))
        ms["torchvision"].append(timed(paste_masks_in_image, *tensors, PHOTO))
    share = np.concatenate(areas)
    return {
        "ms": {name: {f"p{q}": round(float(np.percentile(v, q)), 2) for q in (50, 90)} for name, v in ms.items()},
        "different_bits": different,
        "box_area_share": {"mean": round(float(share.mean()), 4)}
        | {f"p{q}": round(float(np.percentile(share, q)), 5) for q in (10, 50, 90)},
    }


def timed(form: Callable[..., Any], *arguments: Any) -> float:
    """Milliseconds of one call; its result is freed outside."""
    began = time.perf_counter()
    result = form(*arguments)
    ended = time.perf_counter()
    del result
    return 1e3 * (ended - began)


def typical_boxes(rng: np.random.Generator) -> np.ndarray:
    sides = np.exp(rng.multivariate_normal(LOG_MEAN, LOG_COVARIANCE, OBJECTS)).clip(0.01, 1) * PHOTO[::-1]
    corners = rng.uniform(0, 1, (OBJECTS, 2)) * (PHOTO[::-1] - sides)
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def blobs(rng: np.random.Generator) -> np.ndarray:
    """Smooth masks [N, 28, 28]: ellipses with wobbling edges."""
    y, x = np.mgrid[0:28, 0:28] / 27 * 2 - 1
    across, down = rng.uniform(0.6, 1, (2, OBJECTS, 1, 1))
    lobes, turn = rng.integers(2, 6, (OBJECTS, 1, 1)), rng.uniform(0, 6, (OBJECTS, 1, 1))
    radius = np.hypot(x / across, y / down) / (1 + 0.25 * np.sin(np.arctan2(y, x) * lobes + turn))
    return (1 / (1 + np.exp((radius - 0.85) * 12))).astype(np.float32)


def noise(rng: np.random.Generator) -> np.ndarray:
    return rng.random((OBJECTS, 28, 28), np.float32)


if __name__ == "__main__":
    main()

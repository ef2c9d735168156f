"""How much faster than torchvision's loop adaptation is on Mask R-CNN R50-FPN, what memory and disk it takes.

    python -m benchmarks.run.r50_speed --work /tmp/r50 --output benchmarks/results/r50_adaptation.json

Weights are random (torchvision's cannot be fetched everywhere), but for the background's bias: it is set so that the
model finds about as much in a photo as a trained one does, on which the time of the proof depends. Photos are COCO's
in ../shared/photos, the new classes are chair and cup. ``edgekit.adapt`` runs whole, with an empty cache, in a process
of its own; torchvision's loop, with the same frozen layers, runs a few steps before and after it and is extrapolated
to the same epochs and photos.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch

import edgekit
from benchmarks.lib.by_machine import add
from benchmarks.lib.processes import in_a_process
from benchmarks.lib.r50 import CLASSES, FOUND, PHOTOS, SIZE, prepare
from edgekit.artifacts.metadata import tool_versions
from edgekit.data.annotations.formats import read_dataset
from edgekit.demo.naive_loop import fine_tune_naively
from edgekit.measurement.machine.system import machine
from edgekit.model.checkpoint import load_model
from edgekit.model.hints import CheckpointHints

LOOP_PHOTOS = 12  # of torchvision's loop, three steps of four


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the model, the cache and the result")
    parser.add_argument("--output", type=Path, required=True, help="result file to add this machine to (.json)")
    parser.add_argument("--photos", type=int, default=80, help="photos to learn from")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    base, names, data = prepare(args.work, args.photos)
    loop = [in_a_process(time_loop, base, names, data)]
    shutil.rmtree(args.work / "cache", ignore_errors=True)
    adapted = in_a_process(time_adapt, base, names, data, args.work)
    loop.append(in_a_process(time_loop, base, names, data))
    a_photo = sum(t["seconds_a_photo"] for t in loop) / len(loop)
    extrapolated = a_photo * adapted["photos"] * adapted["epochs"]
    result: dict[str, Any] = {
        "model": f"maskrcnn_resnet50_fpn, random weights, about {FOUND} detections a photo",
        "size": SIZE,
        "adapt": adapted,
        "torchvision_loop": loop,
        "torchvision_loop_seconds_extrapolated": round(extrapolated),
        "times_faster": round(extrapolated / adapted["seconds"], 1),
        "machine": machine() | {"threads": torch.get_num_threads()},
        "versions": tool_versions(),
    }
    add(args.output, result)
    print(json.dumps(result, indent=1))


def time_adapt(base: Path, names: Path, data: Path, work: Path) -> dict[str, Any]:
    """One whole adaptation: reading, exporting the trunk, features, training, writing, proof."""
    began = time.monotonic()
    result = edgekit.adapt(
        base,
        data,
        PHOTOS / "images",
        work / "adapted.safetensors",
        CLASSES,
        hints=CheckpointHints(names),
        size=SIZE,
        store=edgekit.FeatureStore(work / "cache"),
    )
    seconds = time.monotonic() - began
    entries = list((work / "cache" / "features").glob("*/*.safetensors"))
    return {
        "seconds": round(seconds, 1),
        "trunk_seconds": result.trunk_seconds,
        "feature_seconds": result.feature_seconds,
        "training_seconds": result.training_seconds,
        "proof_seconds": result.proof_seconds,
        "photos": result.photos,
        "held_out_photos": result.proof.held_out_photos,
        "epochs": result.settings["epochs"],
        "views": len(entries),
        "largest_view_mb": round(max(e.stat().st_size for e in entries) / 1e6, 2),
        "old_detections_changed": result.proof.retention.changed,
        "old_detections_compared": result.proof.retention.compared,
    }


def time_loop(base: Path, names: Path, data: Path) -> dict[str, Any]:
    """A few steps of torchvision's loop; on CUDA after some that are not timed."""
    module, meta = load_model(base, hints=CheckpointHints(names), size=SIZE)
    photos = read_dataset(data, PHOTOS / "images").photos[:LOOP_PHOTOS]
    if torch.cuda.is_available():
        fine_tune_naively(module, photos, CLASSES, meta.input_size, epochs=1, seed=0)
    _, seconds = fine_tune_naively(module, photos, CLASSES, meta.input_size, epochs=1, seed=0)
    return {"seconds_a_photo": round(seconds / len(photos), 3), "photos": len(photos)}


if __name__ == "__main__":
    main()

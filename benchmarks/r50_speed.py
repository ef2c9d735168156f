"""How much faster than torchvision's loop adaptation is on Mask R-CNN R50-FPN, what memory and disk it takes.

    python benchmarks/r50_speed.py --work /tmp/r50 --output benchmarks/results/r50_adaptation.json

Weights are random (torchvision's cannot be fetched everywhere), but for the background's bias: it is set so that the
model finds about as much in a photo as a trained one does, on which the time of the proof depends. Photos are COCO's
in ../shared/photos, the new classes are chair and cup. ``edgekit.adapt`` runs whole, with an empty cache, in a process
of its own; torchvision's loop, with the same frozen layers, runs a few steps before and after it and is extrapolated
to the same epochs and photos.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from adaptation_methods import peak_rss_mb
from by_machine import add
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn

import edgekit
from edgekit.adaptation.baseline import fine_tune_naively
from edgekit.artifacts import ModelMeta, tool_versions
from edgekit.data.coco import read_dataset, write_dataset
from edgekit.data.images import fit
from edgekit.measurement.machine.system import machine
from edgekit.model.checkpoint import load_model, save_model
from edgekit.model.generations import GenerationalRCNN

PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "photos"
CLASSES = ("chair", "cup")
SIZE = (480, 640)
LOOP_PHOTOS = 12  # of torchvision's loop, three steps of four
FOUND = 20  # detections a photo that the base model is made to have


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


def prepare(work: Path, photos: int) -> tuple[Path, Path, Path]:
    """A checkpoint as torchvision's users have it, its class names, and annotations of the new classes."""
    train = read_dataset(PHOTOS / "instances_train.json", PHOTOS / "images")
    shown = [p for p in train.photos if {a.category for a in p.annotations} & set(CLASSES)]
    chosen = (shown + [p for p in train.photos if p not in shown])[:photos]
    data = work / "annotations.json"
    write_dataset(type(train)(data, train.categories, tuple(chosen)))
    known = [c for c in train.categories if c not in CLASSES]
    names = work / "classes.txt"
    names.write_text("\n".join(known) + "\n")
    torch.manual_seed(0)
    base = work / "base.pth"
    module = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=1 + len(known)).eval()
    find_less(module, [p.read() for p in chosen[:4]])
    torch.save(module.state_dict(), base)
    return base, names, data


def as_checkpoint(work: Path) -> tuple[Path, GenerationalRCNN, ModelMeta]:
    """``prepare``'s model as edgekit's checkpoint: its file, the model, and what it is."""
    weights, names, _ = prepare(work, 8)
    module, meta = load_model(weights, base_classes=names, size=SIZE)
    checkpoint = work / "r50.safetensors"
    save_model(checkpoint, module, meta)
    return checkpoint, module, meta


def link_photos(files: Sequence[Path], folder: Path) -> Path:
    """A folder with links to photos."""
    folder.mkdir(exist_ok=True)
    for file in files:
        (folder / file.name).unlink(missing_ok=True)
        (folder / file.name).symlink_to(file)
    return folder


@torch.inference_mode()
def find_less(module: MaskRCNN, photos: list[np.ndarray]) -> None:
    """Raise the background's bias until a module finds about ``FOUND`` objects a photo."""
    model = GenerationalRCNN(module)
    seen = [model.trunk(torch.tensor(fit(p, SIZE).pixels)[None]) for p in photos]
    bias = module.roi_heads.box_predictor.cls_score.bias
    low, high = 0.0, 20.0
    for _ in range(12):
        bias[0] = (low + high) / 2
        found = sum(len(model.detect(levels, proposals, SIZE)[0]["scores"]) for levels, proposals in seen)
        low, high = (low, float(bias[0])) if found < FOUND * len(photos) else (float(bias[0]), high)


def in_a_process(function: Any, *arguments: Any) -> dict[str, Any]:
    """What a function returns in a new process, with that process's peak resident memory in MB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (function, arguments))


def _measured(function: Any, arguments: tuple[Any, ...]) -> dict[str, Any]:
    result = function(*arguments)
    return result | {"peak_rss_mb": peak_rss_mb()}


def time_adapt(base: Path, names: Path, data: Path, work: Path) -> dict[str, Any]:
    """One whole adaptation: reading, exporting the trunk, features, training, writing, proof."""
    began = time.monotonic()
    result = edgekit.adapt(
        base,
        data,
        PHOTOS / "images",
        work / "adapted.safetensors",
        CLASSES,
        base_classes=names,
        size=SIZE,
        cache=work / "cache",
    )
    seconds = time.monotonic() - began
    entries = list((work / "cache" / "features").glob("*.safetensors"))
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
    module, meta = load_model(base, base_classes=names, size=SIZE)
    photos = list(read_dataset(data, PHOTOS / "images").photos[:LOOP_PHOTOS])
    if torch.cuda.is_available():
        fine_tune_naively(module, photos, CLASSES, meta.input_size, epochs=1, seed=0)
    naive = fine_tune_naively(module, photos, CLASSES, meta.input_size, epochs=1, seed=0)
    return {"seconds_a_photo": round(naive.seconds / len(photos), 3), "photos": len(photos)}


if __name__ == "__main__":
    main()

"""Latency of Mask R-CNN R50-FPN on a CPU: edgekit's graphs against torchvision's ways to run it, interleaved.

    python benchmarks/r50_latency.py --work /tmp/r50 --output benchmarks/results/r50_latency.json

Weights are random (see r50_speed.py), photos are COCO's in ../shared/photos. Everything runs with the same proposals,
detections and score threshold, from the decoded photo to pasted masks.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from adaptation_methods import peak_rss_mb
from by_machine import add
from peer_sessions import PEERS, Torchvision
from r50_speed import PHOTOS, SIZE, as_checkpoint, in_a_process, link_photos
from torch import nn

import edgekit
from edgekit.artifacts import ModelMeta, tool_versions
from edgekit.data.images import list_images, read_image
from edgekit.measurement.bench.sessions import time_sessions
from edgekit.measurement.machine.system import machine
from edgekit.measurement.stock import StockSession, export_stock
from edgekit.model.architectures import limit
from edgekit.model.checkpoint import load_model
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.session import Session

SETTINGS = ((1000, 100), (300, 20))  # proposals and detections: torchvision's, and an edge's
CALIBRATION_PHOTOS = 12
FOUND = ", masks of what is found"
FORMS = ("fp32", f"fp32{FOUND}", "fp32 cpu", f"fp32 cpu{FOUND}", "int8 cpu", f"int8 cpu{FOUND}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for models")
    parser.add_argument("--output", type=Path, required=True, help="result file to add this machine to (.json)")
    parser.add_argument("--runs", type=int, default=8)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    checkpoint, _, meta = as_checkpoint(args.work)
    photos = [read_image(p) for p in list_images(PHOTOS / "images")[:8]]
    os.environ["EDGEKIT_CACHE"] = str(args.work / "graph-cache")
    result: dict[str, Any] = {"model": "maskrcnn_resnet50_fpn, random weights", "size": SIZE}
    result["settings"] = []
    for proposals, detections in SETTINGS:
        files = {form: args.work / f"r50-{proposals}-{detections}-{form}.onnx" for form in FORMS}
        stock = args.work / f"r50-{proposals}-{detections}-stock.onnx"
        exports = {form: in_a_process(export, checkpoint, f, proposals, detections, form) for form, f in files.items()}
        in_a_process(stock_export, checkpoint, stock, proposals, detections)
        sessions: dict[str, Session] = {f"edgekit {p}": OnnxSession(f) for p, f in files.items()}
        own = set(sessions)
        sessions["torchvision's export, onnxruntime"] = StockSession(stock, meta)
        sessions |= peers(checkpoint, meta, proposals, detections)
        rows = time_sessions(sessions, photos, args.runs)
        inference = {r.artifact: r.inference_p50_ms for r in rows}
        total = {r.artifact: r.p50_ms for r in rows}
        best = min(v for k, v in total.items() if k not in own)
        del sessions
        gc.collect()
        result["settings"].append(
            {
                "proposals": proposals,
                "detections": detections,
                "exports": exports,
                "p50_ms": total,
                "inference_p50_ms": inference,
                "objects_per_image": {r.artifact: r.objects_per_image for r in rows},
                "times_as_fast_as_torchvisions_export": ratio(total, total["torchvision's export, onnxruntime"]),
                "times_as_fast_as_best_peer": ratio(total, best),
            }
        )
        print(json.dumps(result["settings"][-1], indent=1), flush=True)
    result |= {"runs": args.runs, "machine": machine() | {"threads": torch.get_num_threads()}}
    add(args.output, result | {"versions": tool_versions()})


def export(checkpoint: Path, output: Path, proposals: int, detections: int, form: str) -> dict[str, Any]:
    """Export a graph in one of ``FORMS``: the first from scratch, the others from the cached base graph."""
    options: dict[str, Any] = {"size": SIZE, "proposals": proposals, "detections": detections, "no_verify": True}
    if form.endswith(FOUND):
        options["masks"] = "found"
    if " cpu" in form:
        options["target"] = "cpu"
    if form.startswith("fp16"):
        options["precision"] = "fp16"
    if form.startswith("int8"):
        last = list_images(PHOTOS / "images")[-CALIBRATION_PHOTOS:]
        folder = link_photos(last, output.with_suffix(".photos"))
        options |= {"precision": "int8", "calibration": folder, "keep": ("none",)}
    began = time.monotonic()
    done = edgekit.export(checkpoint, output, **options)
    return {"seconds": round(time.monotonic() - began, 1), "MB": round(done.megabytes, 1), "nodes": done.nodes}


def stock_export(checkpoint: Path, output: Path, proposals: int, detections: int) -> dict[str, Any]:
    export_stock(checkpoint, output, SIZE, proposals, detections)
    return {"peak": peak_rss_mb()}


def peers(checkpoint: Path, meta: ModelMeta, proposals: int, detections: int) -> dict[str, Session]:
    """torchvision's module in each of PyTorch's ways to run it."""
    return {
        name: Torchvision(change(torchvisions(checkpoint, proposals, detections)), meta, name)
        for name, change in PEERS.items()
    }


def torchvisions(checkpoint: Path, proposals: int, detections: int) -> nn.Module:
    """The module as torchvision makes it, for images of the canvas's size."""
    base = load_model(checkpoint, size=SIZE)[0].base
    base.transform.min_size, base.transform.max_size = (min(SIZE),), max(SIZE)
    limit(base, proposals, detections)
    return base.eval()


def ratio(times: dict[str, float], reference: float) -> dict[str, float]:
    return {name: round(reference / value, 2) for name, value in times.items()}


if __name__ == "__main__":
    main()

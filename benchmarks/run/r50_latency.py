"""Latency of Mask R-CNN R50-FPN on a CPU: edgekit's graphs against torchvision's ways to run it, interleaved.

    python -m benchmarks.run.r50_latency --work /tmp/r50 --output benchmarks/results/r50_latency.json

Weights are random (see benchmarks/lib/r50.py), photos are COCO's in ../shared/photos. Everything runs with the same
proposals, detections and score threshold, from the decoded photo to pasted masks.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
from pathlib import Path
from typing import Any

import torch

from benchmarks.lib.by_machine import add
from benchmarks.lib.processes import in_a_process
from benchmarks.lib.r50 import PHOTOS, SIZE, as_checkpoint
from benchmarks.lib.r50_forms import IN_PARTS, export, file_of, open_form, peers, ratio, stock_export
from edgekit.artifacts.metadata import tool_versions
from edgekit.data.images import list_images, read_image
from edgekit.demo.stock_export import StockSession
from edgekit.measurement.bench.sessions import time_sessions
from edgekit.measurement.machine.system import machine
from edgekit.runtime.session import Session

SETTINGS = ((1000, 100), (300, 20))  # proposals and detections: torchvision's, and an edge's
FORMS = tuple(f"{plain}{parts}" for plain in ("fp32", "fp32 cpu", "int8 cpu") for parts in ("", IN_PARTS))


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
        files = {form: file_of(args.work, f"r50-{proposals}-{detections}", form) for form in FORMS}
        stock = args.work / f"r50-{proposals}-{detections}-stock.onnx"
        exports = {form: in_a_process(export, checkpoint, f, proposals, detections, form) for form, f in files.items()}
        in_a_process(stock_export, checkpoint, stock, proposals, detections)
        sessions: dict[str, Session] = {f"edgekit {form}": open_form(f) for form, f in files.items()}
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


if __name__ == "__main__":
    main()

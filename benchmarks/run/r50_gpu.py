"""Latency and energy of Mask R-CNN R50-FPN on an NVIDIA GPU: edgekit's graphs and torchvision's ways, interleaved.

    python -m benchmarks.run.r50_gpu --work /tmp/r50 --output benchmarks/results/r50_gpu.json

Weights, photos and limits are those of benchmarks/run/r50_latency.py. edgekit multiplies float32 in full; PyTorch and
onnxruntime take TF32 for convolutions unless told otherwise, and the peers run as they come. Two rows run edgekit's
graphs that way.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
from pathlib import Path
from typing import Any

import torch

import edgekit
from benchmarks.lib.by_machine import add
from benchmarks.lib.processes import in_a_process
from benchmarks.lib.r50 import PHOTOS, SIZE, as_checkpoint, link_photos
from benchmarks.lib.r50_forms import IN_PARTS, export, file_of, open_form, peers, ratio, stock_export
from edgekit.artifacts.metadata import tool_versions
from edgekit.comparison.comparison_photos import comparison_photos
from edgekit.comparison.tolerance import tolerance_for
from edgekit.comparison.verification import verify
from edgekit.data.images import list_images, read_image
from edgekit.demo.stock_export import StockSession
from edgekit.measurement.bench.plan import BenchOptions
from edgekit.measurement.bench.sessions import time_sessions
from edgekit.measurement.machine.system import machine
from edgekit.model.checkpoint import load_model
from edgekit.runtime.gpu import gpu_here
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.session import Session
from edgekit.runtime.torch_session import TorchSession

PROPOSALS, DETECTIONS = 1000, 100
FORMS = ("fp32", f"fp32{IN_PARTS}", "fp16", f"fp16{IN_PARTS}")
PHOTO_COUNT = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for models, which are kept")
    parser.add_argument("--output", type=Path, required=True, help="result file to add this machine to (.json)")
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--skip", default="", metavar="WORD", help="leave out peers with this in their names")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    gpu_here()  # raises where there is none
    checkpoint = args.work / "r50.safetensors"
    if not checkpoint.exists():
        as_checkpoint(args.work)
    meta = load_model(checkpoint)[1]
    os.environ["EDGEKIT_CACHE"] = str(args.work / "graph-cache")
    files = {form: file_of(args.work, "r50", form) for form in FORMS}
    stock = args.work / "r50-stock.onnx"
    for form, file in files.items():
        if not file.exists():
            in_a_process(export, checkpoint, file, PROPOSALS, DETECTIONS, form)
    if not stock.exists():
        in_a_process(stock_export, checkpoint, stock, PROPOSALS, DETECTIONS)
    shown = list_images(PHOTOS / "images")[:PHOTO_COUNT]
    sessions: dict[str, Session] = {f"edgekit {form}": open_form(file, "cuda") for form, file in files.items()}
    sessions["edgekit PyTorch"] = TorchSession.load(checkpoint)
    for form in ("fp32", "fp16"):
        comes = f"edgekit {form}, as onnxruntime comes"
        sessions[comes] = as_it_comes(OnnxSession(files[form], "cuda"), files[form])
    sessions["torchvision's export, onnxruntime"] = as_it_comes(StockSession(stock, meta), stock)
    others = peers(checkpoint, meta, PROPOSALS, DETECTIONS)
    sessions |= {name: peer for name, peer in others.items() if not args.skip or args.skip not in name}
    rows = time_sessions(sessions, [read_image(p) for p in shown], args.runs)
    photos = link_photos(shown, args.work / "photos")
    own = {name: session for name, session in sessions.items() if name.startswith("edgekit")}
    agrees = {name: agreement(own["edgekit PyTorch"], session, photos) for name, session in own.items()}
    del sessions, own
    gc.collect()
    torch.cuda.empty_cache()
    total = {r.artifact: r.p50_ms for r in rows}
    best = min(v for k, v in total.items() if not k.startswith("edgekit"))
    column: dict[str, Any] = {
        "model": "maskrcnn_resnet50_fpn, random weights",
        "size": SIZE,
        "proposals": PROPOSALS,
        "detections": DETECTIONS,
        "runs": args.runs,
        "p50_ms": total,
        "p99_ms": {r.artifact: r.p99_ms for r in rows},
        "inference_p50_ms": {r.artifact: r.inference_p50_ms for r in rows},
        "objects_per_image": {r.artifact: r.objects_per_image for r in rows},
        "agreement_with_edgekit_pytorch": agrees,
        "times_as_fast_as_torchvisions_export": ratio(total, total["torchvision's export, onnxruntime"]),
        "times_as_fast_as_best_peer": ratio(total, best),
        "machine": machine() | {"threads": torch.get_num_threads()},
        "versions": tool_versions(),
    }
    add(args.output, column)
    column["alone"] = alone(checkpoint, files, photos, args.runs)
    add(args.output, column)
    print(json.dumps(column, indent=1))


def as_it_comes(session: Any, file: Path) -> Any:
    """A session with onnxruntime's own settings for CUDA, its run not recorded."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    session.session, session.recorded = ort.InferenceSession(str(file), options, providers=providers), None
    return session


def agreement(reference: Session, other: Session, photos: Path) -> dict[str, Any]:
    """How many of a session's detections another has too, by fp32's tolerance, and how far their scores are apart."""
    seen = verify(reference, other, comparison_photos(photos), tolerance=tolerance_for("fp32")).parity
    return {"matched": seen.matched, "compared": seen.compared, "largest_difference": seen.largest_score_difference}


def alone(checkpoint: Path, files: dict[str, Path], photos: Path, runs: int) -> dict[str, Any]:
    """Energy and memory of each of edgekit's forms, running alone, as ``edgekit bench`` measures them."""
    result = edgekit.bench([checkpoint, *files.values()], BenchOptions(photos, runs=runs, providers=("cuda",)))
    return {
        artifact.latency.artifact.rsplit("/", 1)[-1]: {
            "joules_per_image": artifact.power and artifact.power.joules_per_image,
            "mean_watts": artifact.power and artifact.power.mean_watts,
            "device_mb": artifact.memory and artifact.memory.device_mb,
            "process_mb": artifact.memory and artifact.memory.resident_mb,
        }
        for artifact in result.artifacts
    }


if __name__ == "__main__":
    main()

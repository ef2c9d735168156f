"""The forms of Mask R-CNN R50-FPN that are timed: edgekit's graphs and folders, torchvision's export and module."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from torch import nn

import edgekit
from benchmarks.lib.peer_sessions import PEERS, Torchvision
from benchmarks.lib.processes import peak_rss_mb
from benchmarks.lib.r50 import PHOTOS, SIZE, link_photos
from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.metadata import ModelMeta
from edgekit.data.images import list_images
from edgekit.demo.stock_export import export_stock
from edgekit.deployment.precision.conversion import Conversion
from edgekit.model.architectures import limit
from edgekit.model.checkpoint import load_model
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.parts_session import PartsSession
from edgekit.runtime.session import Session

CALIBRATION_PHOTOS = 12
IN_PARTS = ", in parts"  # a folder, whose masks are made of what is found


def file_of(work: Path, stem: str, form: str) -> Path:
    """The graph, or the folder of a model in parts, of a form."""
    return work / f"{stem}-{form}{'' if form.endswith(IN_PARTS) else '.onnx'}"


def open_form(path: Path, provider: str = "") -> Session:
    """A form that ``export`` wrote, in onnxruntime."""
    return PartsSession(path, provider=provider) if path.is_dir() else OnnxSession(path, provider)


def export(checkpoint: Path, output: Path, proposals: int, detections: int, form: str) -> dict[str, Any]:
    """Export one form: the first from scratch, the others from the cached base graph."""
    options: dict[str, Any] = {"verify": False, "shape": GraphShape(SIZE, proposals=proposals, detections=detections)}
    if " cpu" in form:
        options["conversion"] = Conversion(target="cpu")
    if form.startswith("fp16"):
        options["conversion"] = Conversion("fp16")
    if form.startswith("int8"):
        last = list_images(PHOTOS / "images")[-CALIBRATION_PHOTOS:]
        folder = link_photos(last, output.parent / "calibration-photos")
        target = "cpu" if " cpu" in form else "tensorrt"
        options["conversion"] = Conversion("int8", target, calibration=folder, keep=("none",))
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

"""How many cells a bin of adaptive RoIAlign has to read in a static graph, and what they cost on a CPU.

    python -m benchmarks.run.adaptive_sampling --output benchmarks/results/adaptive_sampling.json

RoIs have the levels of R50-FPN, 256 channels, sides from 16 pixels to the canvas's (log-uniform) and aspect ratios of
0.3 to 3, and are clipped to the canvas. Errors are relative to torchvision's roi_align, over features of white noise,
which is the worst case: real features are smoother. Times are onnxruntime's, as ratios to the pooling of torchvision's
models (2 samples per bin and axis), all in turns. Where ../shared/models is, also how many of a framework's detections
graphs with so many cells per bin of boxes find again.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from torch import nn

from benchmarks.lib.by_machine import add
from benchmarks.lib.paths import SHARED
from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.metadata import tool_versions
from edgekit.artifacts.onnx_files import write_onnx
from edgekit.comparison.parity import parity
from edgekit.data.detections import Detections
from edgekit.data.images import read_image
from edgekit.deployment.assembly.base_graph import to_onnx
from edgekit.deployment.assembly.tracing import static_onnx
from edgekit.measurement.machine.system import machine
from edgekit.model.checkpoint import load_model
from edgekit.model.roi_pooling import RoIPooling
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.static.roi_align import LevelTable, Sampling

CANVASES = ((480, 640), (800, 1088))
STRIDES, CHANNELS = [4, 8, 16, 32], 256
FIXED = Sampling(2, False, 16)
# Bins, RoIs and the numbers of cells to try, of both poolings of Mask R-CNN.
POOLINGS: dict[str, tuple[int, int, tuple[int, ...]]] = {
    "box": (7, 1000, (9, 16, 20, 25, 30, 32, 36, 49, 64)),
    "mask": (14, 100, (4, 9, 12, 16, 20, 25)),
}


# Of ../shared/models: files with the frameworks' own detections on photos of this size.
MODELS = ("detectron2/mask_rcnn_R_50_FPN_small", "mmdetection/mask-rcnn_r50_fpn_small")
KINDS = ("boxes", "classes", "scores", "masks")
MODEL_CELLS, PHOTO, PHOTOS = (16, 25, 32, 36, 49), (480, 640), 3


class Pooling(nn.Module):
    """A ``LevelTable`` with its settings: a table [cells, C] and boxes [R, 4] to [R, bins, bins, C]."""

    def __init__(self, levels: LevelTable, bins: int, sampling: Sampling) -> None:
        super().__init__()
        self.levels, self.bins, self.sampling = levels, bins, sampling

    def forward(self, table: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = self.levels(table, boxes, self.bins, self.sampling)
        return pooled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="result file to add this machine to (.json)")
    parser.add_argument("--runs", type=int, default=9)
    args = parser.parse_args()
    rows, load = [], os.getloadavg()[0]
    for canvas in CANVASES:
        for name, (bins, count, cells) in POOLINGS.items():
            for row in measure(canvas, bins, count, cells, args.runs):
                rows.append({"canvas": canvas, "pooling": name, **row})
                print(rows[-1], flush=True)
    matched = [matched_detections(name, cells) for name in MODELS for cells in MODEL_CELLS] if SHARED.is_dir() else []
    note = "other work ran on the machine: ratios only, medians of runs in turns"
    add(
        args.output,
        {
            "rows": rows,
            "detections": matched,
            "note": note,
            "load_average": load,
            "machine": machine(),
            "versions": tool_versions(),
        },
    )


def measure(canvas: tuple[int, int], bins: int, count: int, cells: tuple[int, ...], runs: int) -> list[dict[str, Any]]:
    """One pooling with each number of cells."""
    torch.manual_seed(0)
    sizes = [(canvas[0] // s, canvas[1] // s) for s in STRIDES]
    features = [torch.randn(1, CHANNELS, *s) for s in sizes]
    levels, boxes = LevelTable(sizes, STRIDES), some_boxes(canvas, count)
    table = levels.lay_out(features)
    named = OrderedDict((str(i), f) for i, f in enumerate(features))
    exact = RoIPooling(list(named), bins, 0, aligned=True)(named, [boxes], [canvas]).permute(0, 2, 3, 1)
    kinds = [FIXED, *(Sampling(0, True, n) for n in cells)]
    sessions = {sampling: session(Pooling(levels, bins, sampling), table, boxes) for sampling in kinds}
    feed = {"table": table.numpy(), "boxes": boxes.numpy()}
    ms: dict[Sampling, list[float]] = {sampling: [] for sampling in kinds}
    for _ in range(1 + runs):
        for sampling, runner in sessions.items():
            began = time.perf_counter()
            runner.run(None, feed)
            ms[sampling].append(1e3 * (time.perf_counter() - began))
    base = float(np.median(ms[FIXED][1:]))
    samples = samples_of(levels, boxes, bins)
    rows: list[dict[str, Any]] = []
    for sampling in kinds[1:]:
        pooled = torch.from_numpy(sessions[sampling].run(None, feed)[0])
        error = (pooled - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1).clamp(min=1e-6)
        suffices = (samples + 1).prod(dim=1) <= sampling.cells
        rows.append(
            {
                "cells": sampling.cells,
                "exact_share_of_bins": round(suffices.float().mean().item(), 4),
                "relative_error": {"mean": round(error.mean().item(), 5), "max": round(error.max().item(), 4)},
                "max_relative_error_where_exact": float(f"{error[suffices].max().item():.1e}"),
                "times_the_time_of_2_samples": round(float(np.median(ms[sampling][1:])) / base, 2),
            }
        )
    return rows


def matched_detections(name: str, cells: int) -> dict[str, Any]:
    """How many of a framework's detections a graph finds again that reads so many cells in both poolings."""
    folder = SHARED / "models"
    module, meta = load_model(folder / name / "model.pth", size=PHOTO)
    theirs = np.load(folder / name / "outputs.npz")
    pairs = []
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "model.onnx"
        write_onnx(file, to_onnx(module, GraphShape(PHOTO, sampling_cells=cells)), meta)
        runner = OnnxSession(file)
        for photo in range(PHOTOS):
            boxes, classes, scores, masks = (theirs[f"{photo}.{kind}"] for kind in KINDS)
            labels = classes.astype(np.int64) + 1  # labels count the background
            found = runner.infer(read_image(folder / "images" / f"{photo}.png"))
            kept = found.scores > 0
            ours = Detections(found.boxes[kept], found.labels[kept], found.scores[kept], found.masks[kept], PHOTO)
            pairs.append((Detections(boxes, labels, scores, masks, PHOTO), ours))
    seen = parity(pairs)
    row = {"model": name, "cells": cells, "compared": seen.compared, "matched": seen.matched, "extra": seen.extra}
    print(row, flush=True)
    return row


def samples_of(levels: LevelTable, boxes: torch.Tensor, bins: int) -> torch.Tensor:
    """The samples [R, 2] that bins of each RoI have across and down."""
    scaled = boxes * levels.levels[levels._level(boxes)][:, :1] - 0.5
    return ((scaled[:, 2:] - scaled[:, :2]) / bins).ceil()


def some_boxes(canvas: tuple[int, int], count: int) -> torch.Tensor:
    """Boxes [N, 4] clipped to a canvas (height, width)."""
    bounds = torch.tensor(canvas[::-1], dtype=torch.float32)
    side = 16 * (max(canvas) / 16) ** torch.rand(count, 1)
    root = (0.3 * 10 ** torch.rand(count, 1)).sqrt()
    halves = torch.cat([side / root, side * root], 1) / 2
    centres = torch.rand(count, 2) * bounds
    return torch.cat([(centres - halves).clamp(min=0), (centres + halves).minimum(bounds)], 1)


def session(pooling: Pooling, table: torch.Tensor, boxes: torch.Tensor) -> ort.InferenceSession:
    graph = static_onnx(pooling, (table, boxes), ["table", "boxes"], ["pooled"])
    return ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    main()

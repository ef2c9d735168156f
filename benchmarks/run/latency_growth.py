"""How latency grows with input size, proposals, detections, classes and batch, and what AP fewer proposals cost.

    python -m benchmarks.run.latency_growth --work /tmp/growth --output benchmarks/results/latency_growth.json

The model that comes with edgekit, in onnxruntime; with more classes, its architecture with random weights. Each table's
graphs are timed in one interleaved run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

import edgekit
from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.metadata import ModelMeta, tool_versions
from edgekit.data.images import SAMPLE_PHOTOS, list_images, read_image
from edgekit.demo.photo_sets import write_demo_set
from edgekit.files.whole_files import write_text
from edgekit.measurement.bench.sessions import time_sessions
from edgekit.measurement.machine.system import machine
from edgekit.model.architectures import SMALL, build_detector, freeze_norms
from edgekit.model.checkpoint import save_model
from edgekit.model.generations import GenerationalRCNN
from edgekit.runtime.onnx_session import OnnxSession

PROPOSALS = (8, 16, 32, 64, 128, 300)
TABLES: dict[str, list[dict[str, Any]]] = {
    "size": [{"size": (s, s)} for s in (192, 256, 320, 448, 640)],
    "proposals": [{"proposals": n} for n in PROPOSALS],
    "detections": [{"detections": n} for n in (3, 6, 12, 25, 50, 100)],
    "batch": [{"batch": n} for n in (1, 2, 4)],
    "classes": [{"classes": n} for n in (13, 91, 365, 1203)],
}
SCENES = 150
FIGURES = ("inference_p50_ms", "p50_ms", "objects_per_image")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for graphs and scenes")
    parser.add_argument("--output", type=Path, required=True, help="result file to write (.json)")
    parser.add_argument("--runs", type=int, default=30)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    photos = [read_image(p) for p in list_images(SAMPLE_PHOTOS)]
    tables: dict[str, list[dict[str, Any]]] = {}
    for name, rows in TABLES.items():
        files = {label(row[name]): export(args.work, name, row) for row in rows}
        timed = time_sessions({k: OnnxSession(f) for k, f in files.items()}, photos, args.runs)
        tables[name] = [{name: r.artifact} | {figure: getattr(r, figure) for figure in FIGURES} for r in timed]
        if name == "batch":
            for row in tables[name]:
                row["inference_ms_an_image"] = round(row["inference_p50_ms"] / int(row["batch"]), 2)
        if name == "proposals":
            add_precision(tables[name], files, args.work)
        print(json.dumps({name: tables[name]}, indent=1), flush=True)
    result = {"model": "demo (Mask R-CNN, MobileNetV2-FPN)", "runs": args.runs, "scenes": SCENES, "tables": tables}
    result |= {"machine": machine() | {"threads": torch.get_num_threads()}, "versions": tool_versions()}
    write_text(args.output, json.dumps(result, indent=1) + "\n")


def label(value: int | tuple[int, int]) -> str:
    """A row's name: its number, or its size as HxW."""
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def export(work: Path, name: str, row: dict[str, Any]) -> Path:
    """The graph of a row."""
    output = work / f"{name}-{label(row[name])}.onnx"
    options = dict(row)
    model: str | Path = "demo"
    if classes := options.pop("classes", None):
        model = work / f"classes-{classes}.safetensors"
        torch.manual_seed(0)
        names = ("__background__", *(f"class {i}" for i in range(1, classes)))
        module = GenerationalRCNN(freeze_norms(build_detector(SMALL, classes)).eval())
        save_model(model, module, ModelMeta("maskrcnn_mobilenet_v2_fpn", (names,), (320, 320)))
    return edgekit.export(model, output, verify=False, shape=GraphShape(**options)).output


def add_precision(rows: list[dict[str, Any]], files: dict[str, Path], work: Path) -> None:
    """AP of each number of proposals."""
    folder = work / "scenes"
    if not (folder / "annotations.json").exists():
        write_demo_set("base-test", SCENES, folder, seed=11)
    for row in rows:
        seen = edgekit.evaluate(files[row["proposals"]], folder / "annotations.json", folder)
        assert seen.mask is not None
        row |= {"box_AP": _percent(seen.box.AP), "mask_AP": _percent(seen.mask.AP)}


def _percent(value: float) -> float:
    return round(100 * value, 2)


if __name__ == "__main__":
    main()

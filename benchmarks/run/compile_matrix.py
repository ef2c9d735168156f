"""Which models compile to TensorRT engines in which precision and for which GPUs, how long it takes, how big they are.

    python -m benchmarks.run.compile_matrix --work /tmp/matrix --output benchmarks/results/compile_matrix.json
    python -m benchmarks.run.compile_matrix --work /tmp/matrix --output FILE.json --only fp32 --only demo/int8

TensorRT-RTX compiles ahead of time on the CPU; nothing is run on a GPU. Weights are random with set batch norms
(torchvision's cannot be fetched everywhere), but for "demo", the model that comes with edgekit. Every graph is
exported, converted and compiled in a process of its own; what the output has is not done again unless it failed, and
graphs stay in --work.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.lib.processes import peak_rss_mb
from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.metadata import tool_versions
from edgekit.artifacts.onnx_files import read_onnx, write_onnx
from edgekit.data.images import SAMPLE_PHOTOS
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256, write_text

MODELS = (
    "demo",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
)
SIZE, CLASSES = (480, 640), 91
PRECISIONS = ("fp32", "fp16", "int8")
CAPABILITY = "8.6"
EVERYWHERE, CAPABILITIES = "demo", ("7.5", "8.0", "8.9", "12.0")  # one model for every other GPU


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the graphs")
    parser.add_argument("--output", type=Path, required=True, help="result file to write, or to go on with (.json)")
    parser.add_argument(
        "--only", action="append", help="do cells whose name MODEL/PRECISION/GPU holds this; repeatable"
    )
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, Any]] = {}
    if args.output.exists():
        rows = {row["cell"]: row for row in json.loads(args.output.read_text())["cells"]}
    for model, precision, capability in cells():
        cell = f"{model}/{precision}/{capability}"
        wanted = not args.only or any(part in cell for part in args.only)
        if not wanted or (cell in rows and "error" not in rows[cell]):
            continue
        rows[cell] = {"cell": cell, **one(model, precision, capability, args.work)}
        print(json.dumps(rows[cell]), flush=True)
        order = [f"{m}/{p}/{c}" for m, p, c in cells()]
        result = {
            "what": "TensorRT-RTX compiles ahead of time on a CPU without a GPU; the engines were not run",
            "size": {"demo": "its own, 320x320", "others": "480x640, 91 classes, random weights"},
            "cells": [rows[c] for c in order if c in rows],
            "not_done": [c for c in order if c not in rows],
            "machine": machine(),
            "versions": tool_versions(),
        }
        write_text(args.output, json.dumps(result, indent=1) + "\n")


def cells() -> list[tuple[str, str, str]]:
    """Every model and precision for one GPU, one model for the others."""
    listed = [(m, p, CAPABILITY) for p in PRECISIONS for m in MODELS]
    return listed + [(EVERYWHERE, p, c) for p in PRECISIONS for c in CAPABILITIES]


def one(model: str, precision: str, capability: str, work: Path) -> dict[str, Any]:
    """A cell of the matrix: what the compile took, or why it failed."""
    began = time.monotonic()
    try:
        graph = work / f"{model}.fp32.onnx"
        if not graph.exists():
            value_of(export_graph, model, graph)
        if precision != "fp32":
            converted = work / f"{model}.{precision}.onnx"
            if not converted.exists():
                value_of(convert_graph, graph, precision, converted)
            graph = converted
        prepared = time.monotonic() - began
        row: dict[str, Any] = value_of(compile_graph, graph, capability, work / f"{model}.{precision}.engine")
    except (EdgekitError, ImportError) as error:
        return {"error": str(error)}
    return {**row, "prepare_seconds": round(prepared, 1), "onnx_mb": round(graph.stat().st_size / 1e6, 1)}


def value_of(function: Any, *arguments: Any) -> Any:
    """What a function returns in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        status, value = pool.apply(_caught, (function, arguments))
    if status == "error":
        raise EdgekitError(value)
    return value


def _caught(function: Any, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        return "value", function(*arguments)
    except EdgekitError as error:  # does not travel between processes
        return "error", str(error)


def export_graph(model: str, output: Path) -> None:
    """A model's static fp32 graph, compared with PyTorch as every export is."""
    from edgekit.deployment.export.export import export

    if model == "demo":
        export(model, output)
        return
    from tests.checkpoints import random_detector, write  # random weights that detect something

    checkpoint = write(random_detector(model, CLASSES), output.with_suffix(".pth"))
    export(checkpoint, output, verify=False, shape=GraphShape(SIZE))  # random weights: hundreds of detections by a hair
    checkpoint.unlink()


def convert_graph(graph: Path, precision: str, output: Path) -> None:
    """The graph in another precision, calibrated on the photos that come with edgekit."""
    from edgekit.deployment.precision.conversion import Conversion, convert

    model, meta = read_onnx(graph)
    calibration = SAMPLE_PHOTOS if precision == "int8" else None
    conversion = Conversion(precision, calibration=calibration, keep=())
    converted = convert(model, conversion, meta.input_size)
    write_onnx(output, converted.model, replace(meta, precision=precision, parent_sha256=sha256(graph)))


def compile_graph(graph: Path, capability: str, output: Path) -> dict[str, Any]:
    """Compile a graph; the peak memory is the whole process's, which reads the graph and imports no torch."""
    from edgekit.deployment.tensorrt.build import build
    from edgekit.deployment.tensorrt.build_options import EngineOptions
    from edgekit.runtime.engine_file import sidecar_of

    engine = build(graph, output, EngineOptions(compute_capability=(capability,)))
    output.unlink()
    sidecar_of(output).unlink()
    return {
        "seconds": engine.seconds,
        "engine_mb": engine.megabytes,
        "peak_mb": peak_rss_mb(),
        "layers": engine.settings["layers"],
        "builder": f"TensorRT-RTX {engine.version}",
    }


def machine() -> dict[str, str | int]:
    """What this ran on."""
    from edgekit.measurement.machine.system import machine

    return machine()


if __name__ == "__main__":
    main()

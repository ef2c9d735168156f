"""How much arithmetic a graph asks for, how much of it this machine does a second, and where the time goes.

    python -m benchmarks.run.graph_work /tmp/r50/*-fp32.onnx --output benchmarks/results/r50_floor.json

The floor is the time the multiply-adds of convolutions and matrix products would take at the rate of a large matrix
product in onnxruntime, the best of many. Graphs are those that benchmarks.run.r50_latency leaves in its work folder.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from benchmarks.lib.by_machine import add
from edgekit.artifacts.graph_shapes import dims_of
from edgekit.artifacts.metadata import tool_versions
from edgekit.data.images import SAMPLE_PHOTOS, fit, list_images, read_image
from edgekit.deployment.precision.multiply_adds import multiply_adds
from edgekit.measurement.machine.system import machine


def peak(seconds: float = 4.0, side: int = 2048) -> float:
    """Multiply-adds (1e9) a second of a float32 matrix product in onnxruntime, the best of many."""
    values = np.random.default_rng(0).random((side, side), np.float32)
    shape = [side, side]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["y"])],
        "product",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(values, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        session.run(None, {"a": values})
        best = min(best, time.perf_counter() - began)
    return round(side**3 / best / 1e9, 1)


def median_ms(path: Path, canvas: np.ndarray, runs: int) -> float:
    """The median time of a run, without the profiler."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    times = []
    for _ in range(2 + runs):
        began = time.perf_counter()
        session.run(None, {"images": canvas[None]})
        times.append(1e3 * (time.perf_counter() - began))
    return round(float(np.median(times[2:])), 1)


def time_by_kind(path: Path, canvas: np.ndarray, runs: int, folder: Path) -> dict[str, float]:
    """Milliseconds a run by node kind, of onnxruntime's profiler."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.enable_profiling, options.profile_file_prefix = True, str(folder / "profile")
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    for _ in range(1 + runs):
        session.run(None, {"images": canvas[None]})
    profile = Path(session.end_profiling())
    events = json.loads(profile.read_text())
    profile.unlink()
    totals: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            seen[event["name"]] += 1
            if seen[event["name"]] > 1:  # the first run warms up
                totals[event["args"]["op_name"]] += event["dur"]
    return {kind: round(total / 1e3 / runs, 2) for kind, total in totals.most_common(12)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graphs", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True, help="result file to add this machine to (.json)")
    parser.add_argument("--runs", type=int, default=10)
    args = parser.parse_args()
    photo = read_image(list_images(SAMPLE_PHOTOS)[0])
    rows = []
    for path in args.graphs:
        model = onnx.load(path)
        height, width = dims_of(model.graph.input[0])[1:3]
        canvas = fit(photo, (height, width)).pixels
        work = {kind: round(count / 1e9, 2) for kind, count in multiply_adds(model).most_common()}
        rate = peak()
        floor_ms, inference_ms = 1e3 * sum(work.values()) / rate, median_ms(path, canvas, args.runs)
        row: dict[str, Any] = {"graph": path.name, "multiply_adds_1e9": work, "peak_1e9_a_second": rate}
        row |= {"floor_ms": round(floor_ms, 1), "inference_p50_ms": inference_ms}
        row["times_the_floor"] = round(inference_ms / floor_ms, 2)
        with tempfile.TemporaryDirectory() as folder:
            row["ms_by_node_kind"] = time_by_kind(path, canvas, args.runs, Path(folder))
        rows.append(row)
        print(json.dumps(row, indent=1), flush=True)
    add(args.output, {"rows": rows, "machine": machine(), "versions": tool_versions()})


if __name__ == "__main__":
    main()

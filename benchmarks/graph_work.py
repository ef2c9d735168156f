"""How much arithmetic a graph asks for, how much of it this machine does a second, and where the time goes."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch


def multiply_adds(graph: onnx.GraphProto) -> dict[str, float]:
    """Multiply-adds (1e9) of one run, by node kind, of the nodes that are matrix products."""
    shapes = {t.name: list(t.dims) for t in graph.initializer}
    for value in [*graph.value_info, *graph.input, *graph.output]:
        shapes[value.name] = [d.dim_value for d in value.type.tensor_type.shape.dim]
    sums: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type == "Conv":
            sums["Conv"] += math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
        elif node.op_type == "ConvTranspose":
            sums["ConvTranspose"] += math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])
        elif node.op_type == "Gemm":
            sums["Gemm"] += math.prod(shapes[node.output[0]]) * _inner(node, shapes[node.input[0]])
        elif node.op_type == "MatMul":
            sums["MatMul"] += math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return {kind: round(count / 1e9, 2) for kind, count in sums.most_common()}


def _inner(node: onnx.NodeProto, first: list[int]) -> int:
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return first[0] if transposed else first[1]


def peak(seconds: float = 3.0, side: int = 2048) -> float:
    """Multiply-adds (1e9) a second of a float32 matrix product, the best of many."""
    a, b = torch.rand(side, side), torch.rand(side, side)
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - began)
    return round(side**3 / best / 1e9, 1)


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

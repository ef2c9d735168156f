"""Time by kind of layer, from the profiler of whatever runs an artifact."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.data.images import fit
from edgekit.errors import EdgekitError
from edgekit.measurement.bench.benchmark import LayerTime
from edgekit.measurement.bench.forms import Form, open_form
from edgekit.runtime.session import Session

CALLS = 5
WARM_UP = 2


def profile(form: Form, session: Session, photo: np.ndarray) -> tuple[LayerTime, ...]:
    """Time by kind of layer in one call, the longest first; raises EdgekitError where the runtime cannot say."""
    pixels = fit(photo, session.meta.input_size, session.meta.settings.pad).pixels
    if session.runtime.startswith("onnxruntime"):
        return _onnxruntime(form, pixels)
    if session.runtime.startswith("pytorch"):
        return _pytorch(session, pixels)
    if session.runtime.startswith("TensorRT"):
        from edgekit.runtime.engine_profile import layer_times

        times = layer_times(session, pixels, CALLS)  # type: ignore[arg-type]
        return by_kind(((layer_kind(name), 1e3 * ms) for name, ms in times), CALLS)
    raise EdgekitError(f"{form.name}: {session.runtime} has no profiler here", "omit --profile")


def by_kind(layers: Iterable[tuple[str, float]], calls: int) -> tuple[LayerTime, ...]:
    """Sum (kind, microseconds) of layers over several calls."""
    sums: dict[str, list[float]] = {}
    for kind, microseconds in layers:
        sums.setdefault(kind, []).append(microseconds)
    total = sum(sum(times) for times in sums.values()) or 1.0
    rows = [
        LayerTime(kind, round(sum(t) / calls / 1e3, 4), round(len(t) / calls, 1), round(sum(t) / total, 4))
        for kind, t in sums.items()
    ]
    return tuple(sorted(rows, key=lambda row: -row.ms))


def layer_kind(name: str) -> str:
    """The kind in a TensorRT layer's name: its first node's operator, without a number.

    TensorRT names a layer after the ONNX nodes in it, e.g. "/backbone/conv1/Conv + /backbone/relu/Relu_2", or after
    what it adds itself, e.g. "Reformatting CopyNode for Input Tensor 0 to ...".
    """
    if name.startswith("Reformat"):
        return "Reformat"
    first = re.split(r"\s\+\s|\.\.\.", name)[0].strip()
    first = re.sub(r"^\{?ForeignNode\[|[\]}\[].*$", "", first)
    return re.sub(r"[_\s]*\d+$", "", first.rsplit("/", 1)[-1]) or "other"


def _onnxruntime(form: Form, pixels: np.ndarray) -> tuple[LayerTime, ...]:
    with tempfile.TemporaryDirectory() as folder:
        session: Any = open_form(form, trace=str(Path(folder) / "trace"))
        for _ in range(WARM_UP + CALLS):
            session.infer(pixels)
        traces = [json.loads(file.read_text()) for file in session.end_profiling()]
    return by_kind((node for events in traces for node in _nodes(events)), CALLS)


def _nodes(events: Sequence[Mapping[str, Any]]) -> list[tuple[str, float]]:
    """(operator, microseconds) of a graph's nodes after the warm-up; a mask graph may run several times a call."""
    runs = sorted(e["ts"] for e in events if e.get("name") == "model_run")
    since = runs[len(runs) * WARM_UP // (WARM_UP + CALLS)] if runs else 0
    return [
        (e["args"]["op_name"], float(e["dur"]))
        for e in events
        if e.get("cat") == "Node" and e["name"].endswith("_kernel_time") and e["ts"] >= since
    ]


def _pytorch(session: Session, pixels: np.ndarray) -> tuple[LayerTime, ...]:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # read when the profiler starts first; it logs on stderr
    import torch
    from torch.profiler import ProfilerActivity

    cuda = session.runtime.endswith("cuda")
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    for _ in range(WARM_UP):
        session.infer(pixels)
    with torch.profiler.profile(activities=activities) as profiler:
        for _ in range(CALLS):
            session.infer(pixels)
    rows = []
    for event in profiler.key_averages():
        spent = event.self_device_time_total if cuda else event.self_cpu_time_total
        rows += [(event.key, spent / event.count)] * event.count if spent > 0 else []
    return by_kind(rows, CALLS)

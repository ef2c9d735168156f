"""The latency of one model in a stream of photos: alone in its process, call after call without a pause."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.lib.processes import in_a_process
from benchmarks.lib.sections import Row
from edgekit.measurement.bench.sessions import call_stages
from edgekit.runtime.opening import open_session

ROUNDS = 5
WARM_UP = 10  # calls


def steady(models: Mapping[str, Path], photos: Sequence[np.ndarray], calls: int) -> Row:
    """Medians in ms of each model's calls over rounds of processes by turns, and each relative to the first model."""
    p50: dict[str, list[float]] = {name: [] for name in models}
    for number in range(ROUNDS):
        turn = list(models.items())
        for name, model in turn if number % 2 == 0 else reversed(turn):
            p50[name].append(in_a_process(_calls, model, photos, calls)["p50_ms"])
    medians = {name: float(np.median(values)) for name, values in p50.items()}
    first = next(iter(medians.values()))
    return {
        "p50_ms": {name: round(ms, 2) for name, ms in medians.items()},
        "p50_ms_by_round": p50,
        "time_relative_to_first": {name: round(ms / first, 3) for name, ms in medians.items()},
    }


def _calls(model: Path, photos: Sequence[np.ndarray], calls: int) -> Row:
    session = open_session(model)
    stages = call_stages(session, 1)
    seconds = []
    for number in range(WARM_UP + calls):
        item: object = (photos[number % len(photos)],)
        began = time.perf_counter()
        for stage in stages:
            item = stage(item)
        seconds.append(time.perf_counter() - began)
    return {"p50_ms": round(1e3 * float(np.median(seconds[WARM_UP:])), 2)}

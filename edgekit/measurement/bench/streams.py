"""The throughput of several sessions of one artifact at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from edgekit.measurement.bench.benchmark import Streams
from edgekit.measurement.bench.forms import Form, open_form
from edgekit.measurement.bench.harness import Clock, call
from edgekit.measurement.bench.sessions import call_stages
from edgekit.runtime.session import Session


def why_no_streams(session: Session) -> str:
    """Why several sessions of an artifact are not run at once; "" if they are."""
    if hasattr(session, "twin") or session.runtime.startswith("onnxruntime"):
        return ""
    return f"{session.runtime} is not run in several sessions at once: export it to ONNX or to an engine"


def run_streams(
    form: Form, session: Session, items: Sequence[Any], count: int, seconds: float, clock: Clock = Clock()
) -> Streams:
    """Run ``count`` sessions of a form side by side for ``seconds``, each on its own thread, on decoded photos."""
    sessions, threads = _open(form, session, count)
    try:
        for twin in sessions:
            call(call_stages(twin, 1), items[0], clock.now)
        return _run(sessions, threads, items, seconds, clock)
    finally:
        for twin in sessions:
            if twin is not session:
                twin.close()


def _open(form: Form, session: Session, count: int) -> tuple[list[Session], int | None]:
    """The sessions, and how many threads each has where that is ours to say: together as many as there are cores."""
    if hasattr(session, "twin"):
        return [session, *(session.twin() for _ in range(count - 1))], None
    threads = max(1, (os.cpu_count() or 1) // count) if session.runtime == "onnxruntime cpu" else None
    return [open_form(form, threads or 0) for _ in range(count)], threads


def _run(
    sessions: Sequence[Session], threads: int | None, items: Sequence[Any], seconds: float, clock: Clock
) -> Streams:
    gate = threading.Barrier(len(sessions))

    def work(place: int) -> list[float]:
        own = call_stages(sessions[place], 1)
        taken: list[float] = []
        gate.wait()
        ends = clock.now() + seconds
        while not taken or clock.now() < ends:
            parts, _ = call(own, items[(place + len(taken)) % len(items)], clock.now)
            taken.append(sum(parts))
        return taken

    began = clock.now()
    with ThreadPoolExecutor(len(sessions)) as pool:
        calls = np.concatenate(list(pool.map(work, range(len(sessions)))))
    spent = clock.now() - began
    p50, p99 = (round(1e3 * float(v), 3) for v in np.percentile(calls, (50, 99)))
    return Streams(len(sessions), threads, round(spent, 3), round(len(calls) / spent, 2), p50, p99)

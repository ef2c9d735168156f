"""Latency of several models side by side: interleaved in one run, on the same photos."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.artifacts import tool_versions
from edgekit.data.detections import from_canvas
from edgekit.data.images import SAMPLE_PHOTOS, fit, list_images, read_image
from edgekit.errors import EdgekitError
from edgekit.measurement.machine.system import processor
from edgekit.progress import Track, silent
from edgekit.runtime.session import Session, open_session

PAUSE = 0.05  # seconds before each call: onnxruntime's threads go on spinning after a run and slow the next model
WARM_UP = 5  # calls of each model before the clock counts


@dataclass(frozen=True)
class Latency:
    """One model's latency in ms, from decoded photo to pasted masks; ``inference_p50_ms`` is the model alone."""

    artifact: str
    runtime: str
    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    inference_p50_ms: float
    runs: int
    objects_per_image: float
    input_size: tuple[int, int]
    machine: Mapping[str, str | int]
    versions: Mapping[str, str]


def bench(
    models: Sequence[str | Path], images: Path | None = None, runs: int = 50, track: Track = silent
) -> list[Latency]:
    """Time models on the photos of a folder (by default those that come with edgekit), ``runs`` times each."""
    if runs < 1:
        raise EdgekitError(f"--runs {runs}: nothing to time", "give 1 or more")
    sessions = {str(m): open_session(m) for m in models}
    photos = [read_image(p) for p in list_images(images or SAMPLE_PHOTOS)]
    return time_sessions(sessions, photos, runs, track)


def time_sessions(
    sessions: Mapping[str, Session], photos: Sequence[np.ndarray], runs: int, track: Track = silent
) -> list[Latency]:
    """Time open sessions, by the name to report: in every round each session takes the same photo once."""
    totals: dict[str, list[float]] = {name: [] for name in sessions}
    inferences: dict[str, list[float]] = {name: [] for name in sessions}
    objects: dict[str, int] = dict.fromkeys(sessions, 0)
    for turn in track(range(WARM_UP + runs), "timing"):
        photo = photos[turn % len(photos)]
        for name, session in sessions.items():
            time.sleep(PAUSE)
            began = time.perf_counter()
            canvas = fit(photo, session.meta.input_size)
            entered = time.perf_counter()
            outputs = session.infer(canvas.pixels)
            left = time.perf_counter()
            found = from_canvas(canvas, *outputs)
            found.pasted_masks()
            ended = time.perf_counter()
            if turn >= WARM_UP:
                totals[name].append(1e3 * (ended - began))
                inferences[name].append(1e3 * (left - entered))
                objects[name] += len(found)
    here, versions = machine(), tool_versions()
    rows = []
    for name, session in sessions.items():
        p50, p90, p99 = (round(float(v), 3) for v in np.percentile(totals[name], (50, 90, 99)))
        mean, inference = float(np.mean(totals[name])), float(np.median(inferences[name]))
        rows.append(
            Latency(
                artifact=name,
                runtime=session.runtime,
                p50_ms=p50,
                p90_ms=p90,
                p99_ms=p99,
                mean_ms=round(mean, 3),
                inference_p50_ms=round(inference, 3),
                runs=runs,
                objects_per_image=round(objects[name] / runs, 2),
                input_size=session.meta.input_size,
                machine=here,
                versions=versions,
            )
        )
    return rows


def machine() -> dict[str, str | int]:
    """What this run ran on."""
    return {
        "cpu": processor() or platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 0,
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }

"""The energy of an artifact per photo: it runs alone for seconds, since samples come a few times a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.measurement.bench.benchmark import Power
from edgekit.measurement.bench.harness import Clock, Subject, call
from edgekit.measurement.telemetry.sampler import Sampler
from edgekit.measurement.telemetry.summary_of_run import Telemetry, integrate

LEAD = 0.5  # seconds before that: what the artifact before left running

SOURCES = {  # who could measure what
    "power and energy": ("jtop", "nvml", "rapl"),
    "temperature": ("jtop", "nvml", "psutil"),
    "clocks": ("jtop", "nvml", "psutil"),
    "power mode": ("jtop",),
    "throttling": ("nvml", "kernel"),
}


@dataclass(frozen=True)
class Window:
    """When a subject ran alone, on the sampler's clock, and how many calls it made."""

    began: float
    ended: float
    calls: int


def has_power(sampler: Sampler) -> bool:
    """Whether anything that the sampler has read measures power or energy."""
    return any(unit == "W" for _, _, unit in tuple(sampler.values))


def run_alone(subject: Subject, items: Sequence[Any], clock: Clock, seconds: float) -> Window:
    """Run a subject call after call for ``seconds``, after a lead that does not count."""
    _until(subject, items, clock, clock.now() + LEAD)
    began = clock.now()
    calls = _until(subject, items, clock, began + seconds)
    return Window(began, clock.now(), calls)


def power_of(window: Window, telemetry: Telemetry, batch: int) -> Power | None:
    """Energy and conditions within a window; None if no rail was measured then."""
    began, ended = window.began - telemetry.began, window.ended - telemetry.began
    rails = [s for s in telemetry.series if s.unit == "W" and s.values and f"{s.source} {s.what}" in telemetry.measured]
    if not rails or not window.calls:
        return None
    joules = sum(integrate(s.seconds, s.values, began, ended) for s in rails)
    conditions = {}
    for series in telemetry.series:
        times = np.asarray(series.seconds)
        inside = (times >= began) & (times <= ended)
        if series.unit != "W" and inside.any():
            conditions[f"{series.what} {series.unit}"] = round(float(np.asarray(series.values)[inside].mean()), 2)
    images = window.calls * batch
    return Power(
        seconds=round(ended - began, 3),
        images=images,
        joules_per_image=round(joules / images, 4),
        mean_watts=round(joules / (ended - began), 3),
        rails=tuple(f"{s.source} {s.what}" for s in rails),
        conditions=conditions,
    )


def absent(telemetry: Telemetry) -> dict[str, str]:
    """What no source measured of the run as a whole, and why."""
    there = {"power and energy": "W", "temperature": "celsius", "clocks": "MHz"}
    units = {s.unit for s in telemetry.series if s.values}
    found = {what: why_not(telemetry, what) for what, unit in there.items() if unit not in units}
    if "power mode" not in telemetry.settings:
        found["power mode"] = why_not(telemetry, "power mode")
    if telemetry.throttled == "unknown":
        found["throttling"] = why_not(telemetry, "throttling")
    return found


def why_not(telemetry: Telemetry, what: str) -> str:
    """Why none of the sources that could measure something did."""
    missing = [f"{m.source}: {m.reason}" for m in telemetry.missing if m.source in SOURCES[what]]
    silent = [f"{name} does not tell" for name in SOURCES[what] if not any(m.startswith(f"{name}:") for m in missing)]
    return "; ".join([*missing, *silent])


def _until(subject: Subject, items: Sequence[Any], clock: Clock, ends: float) -> int:
    """Call until a moment has come; how many calls that were."""
    calls = 0
    while clock.now() < ends:
        call(subject.stages, items[calls % len(items)], clock.now)
        calls += 1
    return calls

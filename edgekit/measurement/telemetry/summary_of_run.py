"""What a run's telemetry amounts to: series over time, energy, mean power, throttling, and what sampling cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.measurement.telemetry.source import Missing


@dataclass(frozen=True)
class Series:
    """One quantity over time: ``seconds`` since the run began, ``values`` in ``unit``."""

    source: str
    what: str
    unit: str
    seconds: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Rail:
    """The energy of one power rail over the run.

    ``method`` is "counter" where the hardware counts joules itself, "integral" where sampled watts were integrated.
    """

    source: str
    what: str
    joules: float
    mean_watts: float
    peak_watts: float
    method: str


@dataclass(frozen=True)
class Telemetry:
    """What happened while something ran; what nobody measured is None, and ``missing`` says why.

    ``joules`` and ``mean_watts`` are of the rails named in ``measured``: the whole board of a Jetson, else the GPU and
    the processor. ``throttled`` is "yes", "no" or "unknown". ``core_share`` is the part of one core that sampling took.
    """

    seconds: float
    samples: int
    joules: float | None
    mean_watts: float | None
    measured: tuple[str, ...]
    throttled: str
    throttle_reasons: tuple[str, ...]
    settings: Mapping[str, str]
    rails: tuple[Rail, ...]
    series: tuple[Series, ...]
    missing: tuple[Missing, ...]
    sampling_cpu_seconds: float
    core_share: float
    began: float  # time.perf_counter() at second 0

    def of(self, what: str, unit: str) -> Series | None:
        """The first series of a quantity, as of("gpu", "W")."""
        return next((s for s in self.series if (s.what, s.unit) == (what, unit)), None)


def integrate(seconds: Sequence[float], watts: Sequence[float], began: float, ended: float) -> float:
    """Joules from ``began`` to ``ended``: straight lines between samples, the nearest sample's power outside them."""
    times, power = np.asarray(seconds, float), np.asarray(watts, float)
    if ended <= began or not len(times):
        return 0.0
    inside = times[(times > began) & (times < ended)]
    points = np.concatenate([[began], inside, [ended]])
    at = np.interp(points, times, power)
    return float(((at[1:] + at[:-1]) / 2 * np.diff(points)).sum())


def power_from_counter(seconds: Sequence[float], joules: Sequence[float]) -> tuple[list[float], list[float]]:
    """Mean watts between a counter's readings, at the middle of each interval."""
    times, watts = [], []
    for (t0, j0), (t1, j1) in zip(
        zip(seconds[:-1], joules[:-1], strict=True), zip(seconds[1:], joules[1:], strict=True), strict=True
    ):
        if t1 > t0:
            times.append((t0 + t1) / 2)
            watts.append((j1 - j0) / (t1 - t0))
    return times, watts


def rails_of(series: Sequence[Series], counters: Mapping[tuple[str, str], Series], length: float) -> tuple[Rail, ...]:
    """Energy by rail: from the counter where there is one, else by integrating watts over the run."""
    rails = []
    for power in series:
        if power.unit != "W" or not power.values:
            continue
        counter = counters.get((power.source, power.what))
        if counter is not None and len(counter.values) > 1:
            spent = counter.values[-1] - counter.values[0]
            over, method = counter.seconds[-1] - counter.seconds[0], "counter"
        else:
            spent, over, method = integrate(power.seconds, power.values, 0.0, length), length, "integral"
        mean = spent / over if over > 0 else 0.0
        peak = max(power.values)
        rails.append(Rail(power.source, power.what, round(spent, 3), round(mean, 3), round(peak, 3), method))
    return tuple(rails)

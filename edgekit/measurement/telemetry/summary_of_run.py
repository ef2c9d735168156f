"""What a run's telemetry amounts to: series over time, throttling, and what sampling cost."""

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
class Telemetry:
    """What happened while something ran; ``missing`` says why something was not measured.

    ``measured`` names the power rails that together are what the device draws: the whole board of a Jetson, else the
    GPU and the processor. ``throttled`` is "yes", "no" or "unknown". ``core_share`` is the part of one core that
    sampling took.
    """

    seconds: float
    samples: int
    measured: tuple[str, ...]
    throttled: str
    throttle_reasons: tuple[str, ...]
    settings: Mapping[str, str]
    series: tuple[Series, ...]
    missing: tuple[Missing, ...]
    core_share: float
    began: float  # time.perf_counter() at second 0

    def of(self, what: str, unit: str) -> Series | None:
        """The first series of a quantity, e.g. of("gpu", "W")."""
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

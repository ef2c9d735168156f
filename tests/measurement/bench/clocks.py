"""Time that passes only when a test says so."""

from __future__ import annotations

from edgekit.measurement.bench.harness import Clock


class FakeTime:
    def __init__(self) -> None:
        self.now, self.slept = 0.0, 0.0

    def clock(self) -> Clock:
        return Clock(lambda: self.now, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds

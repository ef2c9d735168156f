from __future__ import annotations

import time

import numpy as np
import pytest

from edgekit.artifacts import ModelMeta
from edgekit.measurement.bench import WARM_UP, time_sessions
from edgekit.runtime.session import Outputs

META = ModelMeta("none", (("__background__", "dog"),), (64, 64))


class ScriptedSession:
    """Takes as long as a fake clock says."""

    runtime, meta = "fake", META

    def __init__(self, clock: FakeClock, milliseconds: list[float]) -> None:
        self.clock, self.milliseconds, self.calls = clock, milliseconds, 0

    def infer(self, pixels: np.ndarray) -> Outputs:
        self.clock.now += self.milliseconds[self.calls % len(self.milliseconds)] / 1e3
        self.calls += 1
        return Outputs(np.zeros((1, 4)), np.zeros(1, np.int64), np.zeros(1), np.zeros((1, 28, 28)))


class FakeClock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_percentiles_are_exact_and_runs_interleaved(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(time, "perf_counter", clock)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    ramp = [100.0] * WARM_UP + [float(i) for i in range(1, 102)]  # the slow warm-up must not count
    sessions = {"ramp": ScriptedSession(clock, ramp), "flat": ScriptedSession(clock, [7.0])}
    rows = time_sessions(sessions, [np.zeros((64, 64, 3), np.uint8)], 101)
    assert [round(v, 3) for v in (rows[0].p50_ms, rows[0].p90_ms, rows[0].p99_ms)] == [51.0, 91.0, 100.0]
    assert rows[1].p50_ms == rows[1].p99_ms == 7.0
    assert sessions["ramp"].calls == sessions["flat"].calls == WARM_UP + 101

from __future__ import annotations

from typing import Any

import pytest

from edgekit.measurement.bench.harness import Clock, Subject
from edgekit.measurement.bench.power import Window, absent, has_power, power_of, run_alone
from edgekit.measurement.telemetry.sampler import Sampler
from edgekit.measurement.telemetry.source import Missing, Sample
from edgekit.measurement.telemetry.summary_of_run import Series
from tests.measurement.bench.clocks import FakeTime
from tests.measurement.bench.results import telemetry


def test_energy_of_a_window() -> None:
    """10 W for 4 s, then 30 W; the sampler's second 0 is 100 s on the clock."""
    power = Series("jtop", "VDD_IN", "W", (0.0, 3.9999, 4.0, 10.0), (10.0, 10.0, 30.0, 30.0))
    heat = Series("jtop", "gpu", "celsius", (1.0, 5.0, 6.0), (40.0, 60.0, 62.0))
    seen = telemetry(power, heat)
    found = power_of(Window(105.0, 107.0, 8), seen, batch=2)
    assert found is not None
    assert (found.mean_watts, found.images, found.joules_per_image) == (30.0, 16, 3.75)
    assert found.rails == ("jtop VDD_IN",)
    assert found.conditions == {"gpu celsius": 61.0}
    early = power_of(Window(100.0, 102.0, 8), seen, batch=1)
    assert early is not None
    assert early.mean_watts == 10.0
    assert power_of(Window(105.0, 107.0, 8), telemetry(heat), 1) is None


def test_an_artifact_runs_alone_for_its_seconds() -> None:
    fake, calls = FakeTime(), []

    def stage(item: Any) -> None:
        calls.append(item)
        fake.now += 0.25

    window = run_alone(Subject("a", (stage,)), [0, 1], fake.clock(), seconds=2.0)
    assert window == Window(0.5, 2.5, 8), "the lead of half a second does not count"
    assert len(calls) == 10


def test_what_nobody_measured_is_said() -> None:
    missing = (Missing("nvml", "there is no NVIDIA driver", ""), Missing("jtop", "the service does not answer", ""))
    found = absent(telemetry(missing=missing))
    assert found["power and energy"].startswith("nvml: there is no NVIDIA driver; jtop: the service does not answer")
    assert set(found) == {"power and energy", "temperature", "clocks"}


class Board:
    name, board_rail, settings, thread = "jtop", "VDD_IN", {"power mode": "15W"}, None

    def __init__(self, unit: str) -> None:
        self.unit = unit

    def read(self) -> Sample:
        return Sample({("VDD_IN", self.unit): 7.0}, throttled=())

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("unit", "expected"), [("W", True), ("MB", False)])
def test_power_is_looked_for_in_what_was_read(unit: str, expected: bool) -> None:
    with Sampler([Board(unit)], interval=0.01) as sampler:
        Clock().sleep(0.05)
        assert has_power(sampler) is expected

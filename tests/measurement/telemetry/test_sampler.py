from __future__ import annotations

import dataclasses
import json
import threading
import time

from edgekit.measurement.telemetry.records import Missing, Sample
from edgekit.measurement.telemetry.sampler import Sampler, open_sources


class FakeSource:
    """A board that draws 10 W and goes away after some readings."""

    def __init__(self, name: str = "jtop", board: str | None = "VDD_IN", last: int = 10**9, **reading: object) -> None:
        self.name, self.board_rail, self.last, self.reads, self.closed = name, board, last, 0, False
        self.thread, self.settings = None, {"power mode": "15W"}
        self.reading = reading
        self.read_again = threading.Condition()

    def wait_for(self, reads: int) -> None:
        """Return after so many readings, however slow the machine is."""
        with self.read_again:
            assert self.read_again.wait_for(lambda: self.reads >= reads, timeout=60)

    def read(self) -> Sample:
        self.reads += 1
        with self.read_again:
            self.read_again.notify_all()
        if self.reads > self.last:
            raise OSError("the device went away")
        if self.reading:
            return Sample(**self.reading)
        return Sample({("VDD_IN", "W"): 10.0, ("VDD_CPU", "W"): 4.0}, throttled=())

    def close(self) -> None:
        self.closed = True


def test_power_and_series_of_a_board() -> None:
    source = FakeSource()
    with Sampler([source, Missing("nvml", "no driver", "none")], interval=0.02) as sampler:
        source.wait_for(reads=3)
    result = sampler.result
    assert result is not None
    assert result.measured == ("jtop VDD_IN",), "its parts are not added to the whole"
    power = next(s for s in result.series if (s.what, s.unit) == ("VDD_IN", "W"))
    assert set(power.values) == {10.0}
    assert len(power.values) == result.samples >= 3
    assert result.throttled == "no"
    assert result.settings == {"power mode": "15W"}
    assert [m.source for m in result.missing] == ["nvml"]
    assert source.closed
    json.dumps(dataclasses.asdict(result))


def test_rails_of_a_machine_without_one_of_the_whole_board() -> None:
    with Sampler([FakeSource("nvml", None), FakeSource("rapl", None)]) as sampler:
        pass
    assert sampler.result is not None
    assert sampler.result.measured == ("nvml VDD_IN", "nvml VDD_CPU", "rapl VDD_IN", "rapl VDD_CPU")


def test_a_source_that_goes_away_is_named_and_the_others_go_on() -> None:
    going, staying = FakeSource(last=2), FakeSource("nvml", None)
    with Sampler([going, staying], interval=0.02) as sampler:
        staying.wait_for(reads=6)
    result = sampler.result
    assert result is not None
    assert [m.source for m in result.missing] == ["jtop"]
    assert "the device went away" in result.missing[0].reason
    assert going.reads == 3
    assert going.closed


def test_throttling() -> None:
    for throttled, expected in (((), "no"), (None, "unknown"), (("power cap",), "yes")):
        source = FakeSource(board=None, values={}, throttled=throttled)
        with Sampler([source], interval=0.02) as sampler:
            source.wait_for(reads=1)
        assert sampler.result is not None
        assert sampler.result.throttled == expected
        assert sampler.result.throttle_reasons == (throttled or ())


def test_nothing_measured_is_none_not_zero() -> None:
    with Sampler([]) as sampler:
        pass
    assert sampler.result is not None
    assert (sampler.result.measured, sampler.result.series, sampler.result.throttled) == ((), (), "unknown")


class Expensive(FakeSource):
    def read(self) -> Sample:
        began = time.thread_time()
        while time.thread_time() - began < 0.004:
            pass
        return Sample()


def test_an_expensive_source_is_read_less_often() -> None:
    with Sampler([Expensive()], interval=0.01) as sampler:
        time.sleep(2.0)
    result = sampler.result
    assert result is not None
    assert result.samples <= 5, "0.4% of a core would be 100 readings at the interval"
    assert result.core_share * result.seconds >= 0.003 * result.samples


def test_sampling_this_machine_counts_what_it_costs() -> None:
    with Sampler(interval=0.02) as sampler:
        pass
    result = sampler.result
    assert result is not None
    assert result.core_share > 0
    assert ("process", "MB") in {(s.what, s.unit) for s in result.series}
    absent = {m.source for m in result.missing}
    assert absent | {s.name for s in sampler.opened} == {"jtop", "nvml", "psutil", "rapl", "kernel"}
    assert all(m.reason and m.remedy for m in result.missing)


def test_every_source_answers_or_says_why_not() -> None:
    for source in open_sources():
        if isinstance(source, Missing):
            assert source.reason
        else:
            source.read()
            source.close()

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgekit.measurement.bench.harness import LONG_ENOUGH, LONGEST_WARM_UP, PAUSE, WINDOW, Clock, Subject, interleave
from tests.measurement.bench.clocks import FakeTime


def scripted(fake: FakeTime, milliseconds: list[float]) -> Callable[[Any], int]:
    """A stage that takes as long as the fake clock is told; it returns how often it was called."""
    calls = 0

    def stage(item: Any) -> int:
        nonlocal calls
        fake.now += milliseconds[min(calls, len(milliseconds) - 1)] / 1e3
        calls += 1
        return calls

    return stage


def test_percentiles_and_parts_are_exact() -> None:
    fake = FakeTime()
    warm = 2 * WINDOW
    ramp = scripted(fake, [100.0] * warm + [float(i) for i in range(1, 102)])
    subjects = [Subject("ramp", (scripted(fake, [2.0]), ramp)), Subject("flat", (scripted(fake, [7.0]),))]
    ramped, flat = interleave(subjects, ["photo"], 101, clock=fake.clock())
    assert np.percentile(1e3 * ramped.seconds[:, 1], (50, 90, 99)) == pytest.approx([51, 91, 100])
    assert 1e3 * ramped.seconds[:, 0] == pytest.approx(2.0)
    assert 1e3 * flat.seconds[:, 0] == pytest.approx(7.0), "a pause, or another subject's time, was counted"
    assert fake.slept == pytest.approx(PAUSE * 2 * (warm + 101))
    assert ramped.returned == list(range(warm + 1, warm + 102))


def test_warm_up_lasts_until_times_are_stable_but_not_for_ever() -> None:
    fake = FakeTime()
    slow_start = scripted(fake, [900.0] * WINDOW + [500.0] * WINDOW + [100.0])
    (timing,) = interleave([Subject("a", (slow_start,))], [0], 3, clock=fake.clock())
    assert (timing.warm_up, timing.stable) == (4 * WINDOW, True)
    assert 1e3 * timing.seconds[:, 0] == pytest.approx(100.0)
    growing = [1.2**i for i in range(100)]
    (timing,) = interleave([Subject("b", (scripted(fake, growing),))], [0], 3, clock=fake.clock())
    assert (timing.warm_up, timing.stable) == (LONGEST_WARM_UP * WINDOW, False)


def test_slow_subjects_are_warm_after_a_time() -> None:
    fake = FakeTime()
    seconds = [1e3 * LONG_ENOUGH] + [1e3 * 1.2**i for i in range(100)]  # the first call compiles
    subjects = [
        Subject("slow", (scripted(fake, seconds),)),
        Subject("fast", (scripted(fake, [1e3 * LONG_ENOUGH / 11]),)),
    ]
    slow, fast = interleave(subjects, [0], 3, clock=fake.clock())
    assert (slow.warm_up, slow.stable, fast.stable) == (3 * WINDOW, False, True)


def test_each_round_has_one_photo_and_the_other_order() -> None:
    fake, seen = FakeTime(), []
    subjects = [Subject(n, (lambda item, n=n: seen.append((n, item)),)) for n in "ab"]
    interleave(subjects, [0, 1, 2], 3, clock=fake.clock())
    assert seen[-6:] == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]


def test_seconds_instead_of_runs() -> None:
    fake = FakeTime()
    one, two = (Subject(n, (scripted(fake, [450.0]),)) for n in "ab")
    timings = interleave([one, two], [0], None, 5.0, fake.clock())
    assert [len(t.seconds) for t in timings] == [5, 5], "a round of 1 s begins at 0, 1, 2, 3 and 4 s"
    timings = interleave([one], [0], None, 0.001, fake.clock())
    assert len(timings[0].seconds) == 1


def test_a_subject_that_fails_does_not_stop_the_others() -> None:
    fake = FakeTime()
    calls = 0

    def breaks(item: Any) -> int:
        nonlocal calls
        calls += 1
        if calls > 2 * WINDOW + 2:
            raise MemoryError("no memory left")
        return calls

    good, bad = Subject("good", (scripted(fake, [5.0]),)), Subject("bad", (breaks,))
    timings = interleave([bad, good], [0], 20, clock=fake.clock())
    assert isinstance(timings[0].error, MemoryError)
    assert (len(timings[1].seconds), timings[1].error) == (20, None)


def test_timing_adds_one_look_at_the_clock_per_stage() -> None:
    looks = 0

    def now() -> float:
        nonlocal looks
        looks += 1
        return 0.0

    stages = tuple([lambda item: item] * 4)
    (timing,) = interleave([Subject("a", stages)], [0], 5, clock=Clock(now, lambda _: None))
    assert looks == (timing.warm_up + 5) * (len(stages) + 1)

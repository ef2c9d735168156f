"""Times the stages of several subjects that take turns; clock and sleep are given."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgekit.progress import Track, silent

PAUSE = 0.05  # seconds before each call: onnxruntime's threads go on spinning after a run and slow the next model
WINDOW = 4  # calls, of the same items, whose medians are compared to see whether a subject is warm
STEADY = 0.05  # warm once the median of a window differs less than this from that of the window before
LONGEST_WARM_UP = 8  # windows, after which the clock counts all the same
LONG_ENOUGH = 20.0  # seconds of calls of each subject after which it does so too, from the second window on


@dataclass(frozen=True)
class Subject:
    """Something to time: ``stages`` in their order, each given what the one before returned, the first an item."""

    name: str
    stages: tuple[Callable[[Any], Any], ...]


@dataclass
class Timing:
    """One subject's timed calls.

    ``taken`` are the seconds of each call's stages, ``returned`` is what the last stage gave each time. ``stable`` says
    whether the warm-up of ``warm_up`` calls ended because the times had settled. ``error`` ended the subject's part, if
    there was one.
    """

    subject: Subject
    taken: list[list[float]] = field(default_factory=list)
    returned: list[Any] = field(default_factory=list)
    warm_up: int = 0
    stable: bool = False
    error: Exception | None = None

    @property
    def seconds(self) -> np.ndarray:
        """The seconds of each call's stages, [calls, stages]."""
        return np.array(self.taken, float).reshape(-1, len(self.subject.stages))


@dataclass(frozen=True)
class Clock:
    """The time in seconds, and how to wait."""

    now: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep


def interleave(
    subjects: Sequence[Subject],
    items: Sequence[Any],
    runs: int | None,
    seconds: float | None = None,
    clock: Clock = Clock(),
    track: Track = silent,
) -> list[Timing]:
    """Time subjects: in every round each takes the same item once, in the opposite order to the round before.

    There are ``runs`` rounds, or as many as begin within ``seconds``. A subject that raises is left out from then on.
    """
    timings = [Timing(subject) for subject in subjects]
    _warm_up(timings, items, clock, track)
    rounds = range(runs) if runs is not None else _until(clock, seconds or 0.0)
    for number in track(rounds, "timing"):
        _round(timings, items[number % len(items)], number, clock)
        if all(timing.error for timing in timings):
            break
    return timings


def call(stages: Sequence[Callable[[Any], Any]], item: Any, now: Callable[[], float]) -> tuple[list[float], Any]:
    """Run an item through stages; the seconds of each, and what the last returned."""
    taken, before = [], now()
    for stage in stages:
        item = stage(item)
        after = now()
        taken.append(after - before)
        before = after
    return taken, item


def _round(timings: Sequence[Timing], item: Any, number: int, clock: Clock) -> None:
    for timing in timings if number % 2 == 0 else reversed(timings):
        if timing.error is not None:
            continue
        clock.sleep(PAUSE)
        try:
            taken, returned = call(timing.subject.stages, item, clock.now)
        except Exception as error:  # the device's memory is full, a driver failed: the others go on
            timing.error = error
            continue
        timing.taken.append(taken)
        timing.returned.append(returned)


def _warm_up(timings: Sequence[Timing], items: Sequence[Any], clock: Clock, track: Track) -> None:
    """Run until every subject's times have settled or the patience ends; these calls are not kept."""
    windows = 0
    for _ in track(range(LONGEST_WARM_UP), "warming up"):
        windows += 1
        for turn in range(WINDOW):
            _round(timings, items[turn % len(items)], turn, clock)
        running = [timing for timing in timings if timing.error is None]
        for timing in running:
            timing.stable = _settled([sum(taken) for taken in timing.taken])
        ran_long = windows > 1 and all(sum(map(sum, timing.taken)) >= LONG_ENOUGH for timing in running)
        if all(timing.stable for timing in running) or ran_long:
            break
    for timing in timings:
        timing.warm_up, timing.taken, timing.returned = windows * WINDOW, [], []


def _settled(totals: Sequence[float]) -> bool:
    if len(totals) < 2 * WINDOW:
        return False
    before, now = np.median(totals[-2 * WINDOW : -WINDOW]), np.median(totals[-WINDOW:])
    return bool(abs(now - before) <= STEADY * before)


def _until(clock: Clock, seconds: float) -> Iterator[int]:
    """0, 1, 2, ... while there is time; at least once."""
    ends, number = clock.now() + seconds, 0
    while number == 0 or clock.now() < ends:
        yield number
        number += 1

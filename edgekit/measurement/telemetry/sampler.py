"""Telemetry while a block runs: a thread reads every source that is there and counts what that costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from edgekit.measurement.telemetry.host import open_host
from edgekit.measurement.telemetry.jtop_source import open_jtop
from edgekit.measurement.telemetry.nvml import open_nvml
from edgekit.measurement.telemetry.rapl import open_rapl
from edgekit.measurement.telemetry.source import Missing, Reading, Source
from edgekit.measurement.telemetry.summary_of_run import Series, Telemetry, power_from_counter, rails_of
from edgekit.measurement.telemetry.throttling import open_throttling

INTERVAL = 0.25  # seconds between readings
BUDGET = 0.005  # of a core: after an expensive reading the sampler waits longer


def open_sources(root: Path = Path("/")) -> list[Source | Missing]:
    """Every source of telemetry, or why it is not there."""
    jetson = open_jtop(root=root)
    gpu = open_nvml() if isinstance(jetson, Missing) else None  # a Jetson's driver tells jtop more
    found = [jetson, gpu, open_host(root=root), open_rapl(root), open_throttling(root)]
    return [source for source in found if source is not None]


class Sampler:
    """``with Sampler() as sampler: work()``, then ``sampler.result`` is the Telemetry of the block."""

    def __init__(
        self,
        sources: Sequence[Source | Missing] | None = None,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        opened = open_sources() if sources is None else sources
        self.sources: list[Source] = [s for s in opened if not isinstance(s, Missing)]
        self.missing: list[Missing] = [s for s in opened if isinstance(s, Missing)]
        self.opened, self.interval, self.clock = tuple(self.sources), interval, clock
        self.readings: list[tuple[float, str, Reading]] = []
        self.cost, self.samples, self.began = 0.0, 0, 0.0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, name="edgekit telemetry", daemon=True)
        self.result: Telemetry | None = None

    def __enter__(self) -> Sampler:
        self.helpers = {thread: _cpu_time(thread) for s in self.sources for thread in s.threads()}
        self.began = self.clock()
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self.stop.set()
        self.thread.join()
        ended = self.clock() - self.began
        helpers = sum(max(0.0, _cpu_time(thread) - before) for thread, before in self.helpers.items())
        for source in self.opened:
            source.close()
        self.result = _summary(self, ended, self.cost + helpers)

    def _run(self) -> None:
        """Read at once, then every interval, and once more when told to stop, so that the ends are covered."""
        last = False
        while not last:
            last = self.stop.is_set()
            before = time.thread_time()
            self._sample()
            spent = time.thread_time() - before
            self.cost += spent
            if not last:
                self.stop.wait(max(self.interval, spent / BUDGET))

    def _sample(self) -> None:
        self.samples += 1
        for source in tuple(self.sources):
            try:
                reading = source.read()
            except Exception as error:  # a device or service that went away: the others go on
                self.sources.remove(source)
                at = f"stopped after {self.clock() - self.began:.1f} s: {type(error).__name__}: {error}"
                self.missing.append(Missing(source.name, at, "look at edgekit doctor, then measure again"))
                continue
            self.readings.append((self.clock() - self.began, source.name, reading))


def _cpu_time(thread: threading.Thread) -> float:
    """CPU seconds a thread has used; 0 if it has ended."""
    if thread.ident is None or not thread.is_alive():
        return 0.0
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def _summary(sampler: Sampler, seconds: float, cost: float) -> Telemetry:
    values: dict[tuple[str, str, str], tuple[list[float], list[float]]] = {}
    told, reasons = False, {}
    for at, name, reading in sampler.readings:
        entries = [((name, *key), value) for key, value in reading.values.items()]
        entries += [((name, rail, "J"), joules) for rail, joules in reading.joules.items()]
        for key, value in entries:
            times, seen = values.setdefault(key, ([], []))
            times.append(round(at, 4))
            seen.append(round(value, 4))
        if reading.throttled is not None:
            told = True
            reasons.update(dict.fromkeys(reading.throttled))
    counters = {key[:2]: Series(*key, *map(tuple, both)) for key, both in values.items() if key[2] == "J"}
    for (name, rail), counter in counters.items():
        watts = power_from_counter(counter.seconds, counter.values)
        values.setdefault((name, rail, "W"), watts)
    series = tuple(Series(*key, *map(tuple, both)) for key, both in values.items() if key[2] != "J")
    rails = rails_of(series, counters, seconds)
    whole = {(s.name, s.board_rail) for s in sampler.opened if s.board_rail is not None}
    counted = [r for r in rails if (r.source, r.what) in whole] or [r for r in rails if not whole]
    return Telemetry(
        seconds=round(seconds, 3),
        samples=sampler.samples,
        joules=round(sum(r.joules for r in counted), 3) if counted else None,
        mean_watts=round(sum(r.mean_watts for r in counted), 3) if counted else None,
        measured=tuple(f"{r.source} {r.what}" for r in counted),
        throttled="yes" if reasons else "no" if told else "unknown",
        throttle_reasons=tuple(reasons),
        settings={k: v for s in reversed(sampler.opened) for k, v in s.settings.items()},
        rails=rails,
        series=series,
        missing=tuple(sampler.missing),
        sampling_cpu_seconds=round(cost, 4),
        core_share=round(cost / seconds, 5) if seconds > 0 else 0.0,
        began=sampler.began,
    )

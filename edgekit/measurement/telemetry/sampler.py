"""Telemetry while a block runs: a thread reads every source that is there and counts what that costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from edgekit.measurement.telemetry.host import open_host
from edgekit.measurement.telemetry.jtop_source import open_jtop
from edgekit.measurement.telemetry.nvml import open_nvml
from edgekit.measurement.telemetry.rapl import open_rapl
from edgekit.measurement.telemetry.source import Missing, TelemetrySource
from edgekit.measurement.telemetry.summary_of_run import Series, Telemetry
from edgekit.measurement.telemetry.throttling import open_throttling

INTERVAL = 0.25  # seconds between samples
BUDGET = 0.005  # of a core: after an expensive sample the sampler waits longer


def open_sources(root: Path = Path("/")) -> list[TelemetrySource | Missing]:
    """Every source of telemetry, or why it is not there."""
    jetson = open_jtop(root=root)
    gpu = [open_nvml()] if isinstance(jetson, Missing) else []  # a Jetson's driver tells jtop more
    return [jetson, *gpu, open_host(root=root), open_rapl(root), open_throttling(root)]


class Sampler:
    """``with Sampler() as sampler: work()``, then ``sampler.result`` is the Telemetry of the block."""

    def __init__(self, sources: Sequence[TelemetrySource | Missing] | None = None, interval: float = INTERVAL) -> None:
        opened = open_sources() if sources is None else sources
        self.opened = [s for s in opened if not isinstance(s, Missing)]
        self.missing = [s for s in opened if isinstance(s, Missing)]
        self.sources, self.interval = list(self.opened), interval
        # Times and values by (source, what, unit).
        self.values: dict[tuple[str, str, str], tuple[list[float], list[float]]] = {}
        self.throttled: dict[str, None] | None = None  # the reasons, in their order; None while no source knows
        self.cost, self.samples, self.began = 0.0, 0, 0.0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, name="edgekit telemetry", daemon=True)
        self.result: Telemetry | None = None

    def __enter__(self) -> Sampler:
        self.helpers = {s.thread: _cpu_time(s.thread) for s in self.sources if s.thread is not None}
        self.began = time.perf_counter()
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self.stop.set()
        self.thread.join()
        seconds = time.perf_counter() - self.began
        helpers = sum(max(0.0, _cpu_time(thread) - before) for thread, before in self.helpers.items())
        for source in self.opened:
            source.close()
        self.result = self._summary(seconds, self.cost + helpers)

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
            at = time.perf_counter() - self.began
            try:
                sample = source.read()
            except Exception as error:  # a device or service that went away: the others go on
                self.sources.remove(source)
                reason = f"stopped after {at:.1f} s: {type(error).__name__}: {error}"
                self.missing.append(Missing(source.name, reason, "look at edgekit doctor, then measure again"))
                continue
            for key, value in sample.values.items():
                times, seen = self.values.setdefault((source.name, *key), ([], []))
                times.append(round(at, 4))
                seen.append(round(value, 4))
            if sample.throttled is not None:
                self.throttled = (self.throttled or {}) | dict.fromkeys(sample.throttled)

    def _summary(self, seconds: float, cost: float) -> Telemetry:
        series = tuple(Series(*key, tuple(times), tuple(seen)) for key, (times, seen) in self.values.items())
        rails = [(s.source, s.what) for s in series if s.unit == "W"]
        whole = {(s.name, s.board_rail) for s in self.opened if s.board_rail is not None}
        return Telemetry(
            seconds=round(seconds, 3),
            samples=self.samples,
            measured=tuple(" ".join(rail) for rail in rails if not whole or rail in whole),
            throttled="unknown" if self.throttled is None else "yes" if self.throttled else "no",
            throttle_reasons=tuple(self.throttled or ()),
            settings={k: v for s in reversed(self.opened) for k, v in s.settings.items()},
            series=series,
            missing=tuple(self.missing),
            core_share=round(cost / seconds, 5) if seconds > 0 else 0.0,
            began=self.began,
        )


def _cpu_time(thread: threading.Thread) -> float:
    """CPU seconds a thread has used; 0 if it has ended."""
    if thread.ident is None or not thread.is_alive():
        return 0.0
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))

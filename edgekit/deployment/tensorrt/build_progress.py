"""How far a builder is: its phases as percent, shown through a track, and how a build is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from edgekit.progress import Track

T = TypeVar("T")
TICK = 0.1  # seconds between looks at the builder


@dataclass
class Phase:
    """One phase of a build, which steps through ``steps``; another phase may be inside its present step."""

    parent: str | None
    steps: int
    done: int = 0


@dataclass
class Phases:
    """The phases a builder is in, as it reports them."""

    running: dict[str, Phase] = field(default_factory=dict)
    percent: int = 0  # never falls
    stop: bool = False

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins inside another."""
        self.running[name] = Phase(parent, max(1, steps))

    def step(self, name: str, step: int) -> None:
        """A phase's step, counted from 0, is done."""
        if name in self.running:
            self.running[name].done = step + 1
        self.percent = max(self.percent, int(100 * self._share(None)))

    def finish(self, name: str) -> None:
        """A phase ends."""
        self.running.pop(name, None)

    def _share(self, parent: str | None) -> float:
        """The share done of the phases inside ``parent``."""
        inside = [(n, p) for n, p in list(self.running.items()) if p.parent == parent]
        shares = [(min(p.done + self._share(n), p.steps)) / p.steps for n, p in inside if n != parent]
        return max(shares, default=0.0)


def monitor(trt: Any, phases: Phases) -> Any:
    """TensorRT's own kind of object that hears of a build's progress, or None where the version has none."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            phases.step(phase_name, step)
            return not phases.stop

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)

    return Monitor()


def watched(work: Callable[[], T], phases: Phases, track: Track, description: str) -> T:
    """Run ``work`` in a thread while ``track`` shows how far it is; Ctrl-C stops the builder and passes on."""
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # raised again below, in the caller's thread
            failures.append(error)

    worker = threading.Thread(target=run, name="tensorrt build")
    worker.start()
    try:
        for _ in track(_Percent(worker, phases), description):
            pass
    finally:
        phases.stop = worker.is_alive()
        worker.join()
    if failures:
        raise failures[0]
    return results[0]


class _Percent:
    """A hundred items, one for each percent that is done."""

    def __init__(self, worker: threading.Thread, phases: Phases) -> None:
        self.worker, self.phases = worker, phases

    def __len__(self) -> int:
        return 100

    def __iter__(self) -> Iterator[int]:
        shown = 0
        while self.worker.is_alive():
            self.worker.join(TICK)
            while shown < min(self.phases.percent, 99):
                yield shown
                shown += 1
        yield from range(shown, 100)

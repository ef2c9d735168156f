from __future__ import annotations

import threading

import pytest

from edgekit.deployment.tensorrt.build_progress import Phases, monitor, watched
from edgekit.progress import silent


def test_percent_of_nested_phases() -> None:
    phases = Phases()
    phases.start("build", None, 4)
    seen = []
    for number in range(4):
        phases.start("part", "build", 5)
        for step in range(5):
            phases.step("part", step)
            seen.append(phases.percent)
        phases.finish("part")
        phases.step("build", number)
    assert seen[:5] == [5, 10, 15, 20, 25]
    assert seen == sorted(seen)
    assert phases.percent == 100


def test_phases_it_was_not_told_of() -> None:
    phases = Phases()
    phases.step("unknown", 3)
    phases.finish("unknown")
    phases.start("odd", "gone", 0)
    phases.step("odd", 0)
    assert phases.percent == 0


def test_a_version_without_a_monitor() -> None:
    assert monitor(object(), Phases()) is None


def test_result_and_failure() -> None:
    assert watched(lambda: 7, Phases(), silent, "x") == 7

    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        watched(fail, Phases(), silent, "x")


def test_ctrl_c_stops_the_work_first() -> None:
    phases, stopped = Phases(), threading.Event()

    def work() -> None:
        while not phases.stop:
            stopped.wait(0.01)
        stopped.set()

    def track(items: object, description: str) -> object:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watched(work, phases, track, "x")  # type: ignore[arg-type]
    assert stopped.is_set()

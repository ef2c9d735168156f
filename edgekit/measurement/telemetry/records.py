"""What telemetry is made of: sources, their samples, and the series of a whole run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sample:
    """What a source said at one moment.

    ``values`` by (what, unit): ("gpu", "W"), ("cpu", "MHz"). ``throttled`` names what slows the machine down now; None
    if the source cannot know.
    """

    values: Mapping[tuple[str, str], float] = field(default_factory=dict)
    throttled: tuple[str, ...] | None = None


@dataclass(frozen=True)
class TelemetrySource:
    """Something that can be read many times a second from one thread.

    ``read`` raises any exception where the source has gone away. ``settings`` held for the whole run: power mode,
    governor, limits. ``board_rail`` is the rail that measures the whole board, if there is one. ``thread`` is one of
    the source's library that works for it in this process.
    """

    name: str
    read: Callable[[], Sample]
    settings: Mapping[str, str] = field(default_factory=dict)
    board_rail: str | None = None
    close: Callable[[], None] = lambda: None
    thread: threading.Thread | None = None


@dataclass(frozen=True)
class Missing:
    """A source that is not there, or went away during the run: why, and what to do about it."""

    source: str
    reason: str
    remedy: str


@dataclass(frozen=True)
class Series:
    """One quantity over time: ``seconds`` since the run began, ``values`` in ``unit``."""

    source: str
    what: str
    unit: str
    seconds: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Telemetry:
    """What happened while something ran; ``missing`` says why something was not measured.

    ``measured`` names the power rails that together are what the device draws: the whole board of a Jetson, else the
    GPU and the processor. ``throttled`` is "yes", "no" or "unknown". ``core_share`` is the part of one core that
    sampling took.
    """

    seconds: float
    samples: int
    measured: tuple[str, ...]
    throttled: str
    throttle_reasons: tuple[str, ...]
    settings: Mapping[str, str]
    series: tuple[Series, ...]
    missing: tuple[Missing, ...]
    core_share: float
    began: float  # time.perf_counter() at second 0

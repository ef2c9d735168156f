"""What a source of telemetry is, what one reading of it holds, and how its absence is said."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Reading:
    """What a source said at one moment.

    ``values`` by (what, unit): ("gpu", "W"), ("cpu", "MHz"). ``joules`` are counters that only rise, by rail.
    ``throttled`` names what slows the machine down now; None if the source cannot know.
    """

    values: Mapping[tuple[str, str], float] = field(default_factory=dict)
    joules: Mapping[str, float] = field(default_factory=dict)
    throttled: tuple[str, ...] | None = None


class Source(Protocol):
    """Something that can be read many times a second from one thread."""

    name: str
    settings: Mapping[str, str]  # what held for the whole run: power mode, governor, limits
    board_rail: str | None  # the rail that measures the whole board, if there is one

    def read(self) -> Reading:
        """Read once; any exception means that the source has gone away."""

    def threads(self) -> tuple[threading.Thread, ...]:
        """Threads of the source's library that work for it in this process."""

    def close(self) -> None:
        """Give back what was opened."""


@dataclass(frozen=True)
class Missing:
    """A source that is not there, or went away during the run: why, and what to do about it."""

    source: str
    reason: str
    remedy: str

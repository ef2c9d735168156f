"""Whether the kernel slowed the processor or a Jetson down: too hot, or too much current."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from edgekit.measurement.machine.jetson import text
from edgekit.measurement.telemetry.source import Missing, Reading, Source

# A Jetson's over-current events (https://docs.nvidia.com/jetson/archives/r36.3/DeveloperGuide/SD/
# PlatformPowerAndPerformance/) and an Intel package's thermal ones only count up.
COUNTERS = {
    "sys/class/hwmon/hwmon*/oc*_event_cnt": "over-current",
    "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "cpu too hot",
}
ALERTS = "sys/class/thermal/cooling_device*/type"  # a Jetson's gpu-throttle-alert and others: state 1 while it lasts


class ThrottlingSource:
    """The kernel's counters since this was opened, and its alerts now."""

    name = "kernel"
    board_rail: str | None = None
    settings: Mapping[str, str] = {}

    def __init__(self, counters: Mapping[Path, str], alerts: Mapping[Path, str]) -> None:
        self.counters, self.alerts = counters, alerts
        self.before = {path: int(text(path)) for path in counters}

    def read(self) -> Reading:
        """What rose since the last reading, and what is on."""
        found = []
        for path, what in self.counters.items():
            now = int(path.read_text())
            if now > self.before[path]:
                found.append(what)
            self.before[path] = now
        found += [what for path, what in self.alerts.items() if int(path.read_text()) > 0]
        return Reading(throttled=tuple(dict.fromkeys(found)))

    def threads(self) -> tuple[threading.Thread, ...]:
        """None."""
        return ()

    def close(self) -> None:
        """Nothing is open."""


def open_throttling(root: Path = Path("/")) -> Source | Missing:
    """The counters and alerts below ``root``/sys."""
    counters = {path: what for pattern, what in COUNTERS.items() for path in sorted(root.glob(pattern))}
    counters = {path: what for path, what in counters.items() if text(path).isdigit()}
    alerts = {}
    for file in sorted(root.glob(ALERTS)):
        kind, state = text(file), file.with_name("cur_state")
        if kind.endswith("throttle-alert") and text(state).isdigit():
            alerts[state] = f"{kind.removesuffix('-throttle-alert')} too hot"
    if not counters and not alerts:
        return Missing("kernel", "this kernel does not say when it throttles", "nothing to do")
    return ThrottlingSource(counters, alerts)

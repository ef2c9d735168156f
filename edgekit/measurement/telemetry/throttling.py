"""Whether the kernel slowed the processor or a Jetson down: too hot, or too much current."""

from __future__ import annotations

from pathlib import Path

from edgekit.measurement.machine.jetson import text
from edgekit.measurement.telemetry.source import Missing, Sample, TelemetrySource

# A Jetson's over-current events (https://docs.nvidia.com/jetson/archives/r36.3/DeveloperGuide/SD/
# PlatformPowerAndPerformance/) and an Intel package's thermal ones only count up.
COUNTERS = {
    "sys/class/hwmon/hwmon*/oc*_event_cnt": "over-current",
    "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "cpu too hot",
}
ALERTS = "sys/class/thermal/cooling_device*/type"  # a Jetson's gpu-throttle-alert and others: state 1 while it lasts


def open_throttling(root: Path = Path("/")) -> TelemetrySource | Missing:
    """The counters below ``root``/sys, as they rise from now on, and the alerts."""
    counters = {path: what for pattern, what in COUNTERS.items() for path in sorted(root.glob(pattern))}
    before = {path: int(text(path)) for path in counters if text(path).isdigit()}
    alerts = {}
    for file in sorted(root.glob(ALERTS)):
        kind, state = text(file), file.with_name("cur_state")
        if kind.endswith("throttle-alert") and text(state).isdigit():
            alerts[state] = f"{kind.removesuffix('-throttle-alert')} too hot"
    if not before and not alerts:
        return Missing("kernel", "this kernel does not say when it throttles", "nothing to do")

    def read() -> Sample:
        now = {path: int(path.read_text()) for path in before}
        found = [counters[path] for path, count in now.items() if count > before[path]]
        before.update(now)
        found += [what for path, what in alerts.items() if int(path.read_text()) > 0]
        return Sample(throttled=tuple(dict.fromkeys(found)))

    return TelemetrySource("kernel", read)

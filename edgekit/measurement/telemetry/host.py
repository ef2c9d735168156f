"""Telemetry of the host from psutil: this process's memory, the host's, the processor's clock and temperature."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgekit.measurement.machine.jetson import read_jetson, text
from edgekit.measurement.telemetry.source import Missing, Reading, Source

SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal")  # drivers of processors' own sensors


class HostSource:
    """This process and the machine it runs on."""

    name = "psutil"
    board_rail: str | None = None

    def __init__(self, psutil: Any, root: Path = Path("/")) -> None:
        self.psutil, self.process = psutil, psutil.Process()
        self.has_clock, self.sensor = self._clock() is not None, self._find_sensor()
        self.settings: Mapping[str, str] = _settings(root)

    def read(self) -> Reading:
        """A few files of /proc and /sys."""
        values = {
            ("process", "MB"): self.process.memory_info().rss / 1e6,
            ("host", "MB"): self.psutil.virtual_memory().used / 1e6,
            ("cpu", "percent"): self.psutil.cpu_percent(),
        }
        if self.has_clock and (clock := self._clock()) is not None:
            values["cpu", "MHz"] = clock
        if self.sensor is not None:
            values["cpu", "celsius"] = float(self.psutil.sensors_temperatures()[self.sensor][0].current)
        return Reading(values)

    def threads(self) -> tuple[threading.Thread, ...]:
        """None."""
        return ()

    def close(self) -> None:
        """Nothing is open."""

    def _clock(self) -> float | None:
        frequency = self.psutil.cpu_freq() if hasattr(self.psutil, "cpu_freq") else None
        return float(frequency.current) if frequency and frequency.current else None

    def _find_sensor(self) -> str | None:
        sensors = self.psutil.sensors_temperatures() if hasattr(self.psutil, "sensors_temperatures") else {}
        return next((name for name in SENSORS if sensors.get(name)), None)


def open_host(load: Callable[[], Any] | None = None, root: Path = Path("/")) -> Source | Missing:
    """psutil's view of this process; ``load`` gives the module."""
    try:
        psutil = (load or _load)()
    except ImportError:
        return Missing("psutil", "psutil is not installed", "pip install 'edgekit[telemetry]'")
    return HostSource(psutil, root)


def _load() -> Any:
    import psutil

    return psutil


def _settings(root: Path) -> dict[str, str]:
    settings = {}
    if governor := text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"):
        settings["cpu governor"] = governor
    jetson = read_jetson(root)
    if jetson is not None and jetson.power_mode:
        settings["power mode"] = jetson.power_mode
    return settings

"""Telemetry of the host from psutil: this process's memory, the host's, the processor's clock and temperature."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.measurement.machine.jetson import read_jetson, text
from edgekit.measurement.telemetry.source import Missing, Sample, TelemetrySource

SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal")  # drivers of processors' own sensors


def open_host(
    load: Callable[[str], Any] = importlib.import_module, root: Path = Path("/")
) -> TelemetrySource | Missing:
    """psutil's view of this process and the machine it runs on."""
    try:
        psutil = load("psutil")
    except ImportError:
        return Missing("psutil", "psutil is not installed", "pip install 'edgekit[telemetry]'")
    process, has_clock = psutil.Process(), _clock(psutil) is not None
    # Not every system has this function of psutil.
    sensors = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    sensor = next((name for name in SENSORS if sensors.get(name)), None)

    def read() -> Sample:
        values = {
            ("process", "MB"): process.memory_info().rss / 1e6,
            ("host", "MB"): psutil.virtual_memory().used / 1e6,
            ("cpu", "percent"): psutil.cpu_percent(),
        }
        if has_clock and (clock := _clock(psutil)) is not None:
            values["cpu", "MHz"] = clock
        if sensor is not None:
            values["cpu", "celsius"] = float(psutil.sensors_temperatures()[sensor][0].current)
        return Sample(values)

    settings = {"cpu governor": text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")}
    jetson = read_jetson(root)
    settings["power mode"] = (jetson and jetson.power_mode) or ""
    return TelemetrySource("psutil", read, {name: value for name, value in settings.items() if value})


def _clock(psutil: Any) -> float | None:
    frequency = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
    return float(frequency.current) if frequency and frequency.current else None

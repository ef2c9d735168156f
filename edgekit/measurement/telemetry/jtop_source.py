"""Telemetry of a Jetson from jetson-stats: power rails, temperatures, clocks, memory, power mode."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgekit.measurement.machine.jetson import read_jetson
from edgekit.measurement.telemetry.source import Missing, Reading, Source

INTERVAL = 0.5  # seconds between the service's updates; asking more often gives the same numbers


class JtopSource:
    """A running connection to the jtop service."""

    name = "jtop"

    def __init__(self, jetson: Any) -> None:
        self.jetson = jetson
        total = (jetson.power or {}).get("tot") or {}
        self.board_rail: str | None = str(total.get("name") or "all rails") if "power" in total else None
        self.settings: Mapping[str, str] = _settings(jetson)

    def read(self) -> Reading:
        """The numbers of the service's last update."""
        if not self.jetson.ok(spin=True):
            raise ConnectionError("the jtop service stopped answering")
        jetson, values = self.jetson, {}
        power = jetson.power or {}
        if self.board_rail is not None:
            values[self.board_rail, "W"] = power["tot"]["power"] / 1e3
        for name, rail in power.get("rail", {}).items():
            values[name, "W"] = rail["power"] / 1e3
        for name, sensor in (jetson.temperature or {}).items():
            if sensor.get("online", True):
                values[name.lower(), "celsius"] = float(sensor["temp"])
        for name, gpu in jetson.gpu.items():
            values[f"gpu {name}", "MHz"] = gpu["freq"]["cur"] / 1e3
            values[f"gpu {name}", "percent"] = float(gpu["status"]["load"])
        clocks = [core["freq"]["cur"] / 1e3 for core in jetson.cpu["cpu"] if core.get("online") and "freq" in core]
        if clocks:
            values["cpu", "MHz"] = max(clocks)
        values["host", "MB"] = jetson.memory["RAM"]["used"] * 1024 / 1e6
        return Reading(values)

    def threads(self) -> tuple[threading.Thread, ...]:
        """jtop is itself the thread that receives the updates."""
        return (self.jetson,) if isinstance(self.jetson, threading.Thread) else ()

    def close(self) -> None:
        """End the connection."""
        self.jetson.close()


def open_jtop(load: Callable[[], Any] | None = None, root: Path = Path("/")) -> Source | Missing:
    """Connect to the jtop service; ``load`` gives the jtop class."""
    if read_jetson(root) is None:
        return Missing("jtop", "this is no Jetson", "nothing to do")
    try:
        jtop = (load or _load)()
    except ImportError as error:
        return Missing("jtop", f"jetson-stats is not installed: {error}", "sudo pip3 install jetson-stats, then reboot")
    try:
        connection = jtop(interval=INTERVAL)
        connection.start()
    except Exception as error:  # its own JtopException, and what sockets and version checks raise
        reason = " ".join(str(error).split()) or type(error).__name__
        remedy = "sudo systemctl restart jtop.service; in a container, add -v /run/jtop.sock:/run/jtop.sock"
        return Missing("jtop", f"the jtop service does not answer: {reason}", remedy)
    return JtopSource(connection)


def _load() -> Any:
    from jtop import jtop

    return jtop


def _settings(jetson: Any) -> dict[str, str]:
    settings = {}
    if jetson.nvpmodel is not None:
        settings["power mode"] = str(jetson.nvpmodel.name)
    if jetson.jetson_clocks is not None:
        settings["jetson_clocks"] = "on" if jetson.jetson_clocks else "off"
    return settings

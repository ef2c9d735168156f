"""Telemetry of a Jetson from jetson-stats: power rails, temperatures, clocks, memory, power mode."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.measurement.machine.jetson import read_jetson
from edgekit.measurement.telemetry.source import Missing, Sample, TelemetrySource

INTERVAL = 0.5  # seconds between the service's updates; asking more often gives the same numbers


def open_jtop(
    load: Callable[[str], Any] = importlib.import_module, root: Path = Path("/")
) -> TelemetrySource | Missing:
    """Connect to the jtop service."""
    if read_jetson(root) is None:
        return Missing("jtop", "this is not a Jetson", "nothing to do")
    try:
        jtop = load("jtop").jtop
    except ImportError as error:
        return Missing("jtop", f"jetson-stats is not installed: {error}", "sudo pip3 install jetson-stats, then reboot")
    try:
        connection = jtop(interval=INTERVAL)
        connection.start()
    except Exception as error:  # its own JtopException, and what sockets and version checks raise
        reason = " ".join(str(error).split()) or type(error).__name__
        remedy = "sudo systemctl restart jtop.service; in a container, add -v /run/jtop.sock:/run/jtop.sock"
        return Missing("jtop", f"the jtop service does not answer: {reason}", remedy)
    total = (connection.power or {}).get("tot") or {}
    board_rail = str(total.get("name") or "all rails") if "power" in total else None
    settings = {}
    if connection.nvpmodel is not None:
        settings["power mode"] = str(connection.nvpmodel.name)
    if connection.jetson_clocks is not None:
        settings["jetson_clocks"] = "on" if connection.jetson_clocks else "off"
    thread = connection if isinstance(connection, threading.Thread) else None  # that receives the updates
    return TelemetrySource(
        "jtop", lambda: _read(connection, board_rail), settings, board_rail, connection.close, thread
    )


def _read(jetson: Any, board_rail: str | None) -> Sample:
    """The numbers of the service's last update."""
    if not jetson.ok(spin=True):
        raise ConnectionError("the jtop service stopped answering")
    power = jetson.power or {}
    read: dict[tuple[str, str], float | None] = {}
    if board_rail is not None:
        read[board_rail, "W"] = _number(power, 1e-3, "tot", "power")
    for name, rail in (power.get("rail") or {}).items():
        read[name, "W"] = _number(rail, 1e-3, "power")
    for name, sensor in (jetson.temperature or {}).items():
        if sensor.get("online", True):
            read[name.lower(), "celsius"] = _number(sensor, 1.0, "temp")
    for name, gpu in (jetson.gpu or {}).items():
        read[f"gpu {name}", "MHz"] = _number(gpu, 1e-3, "freq", "cur")
        read[f"gpu {name}", "percent"] = _number(gpu, 1.0, "status", "load")
    cores = (jetson.cpu or {}).get("cpu") or ()
    clocks = [_number(core, 1e-3, "freq", "cur") for core in cores if core.get("online")]
    read["cpu", "MHz"] = max((clock for clock in clocks if clock is not None), default=None)
    read["host", "MB"] = _number(jetson.memory, 1024 / 1e6, "RAM", "used")
    return Sample({key: value for key, value in read.items() if value is not None})


def _number(tree: Any, scale: float, *names: str) -> float | None:
    """A number in nested dictionaries, scaled; None where a board or a version of jetson-stats does not have it."""
    for name in names:
        try:
            tree = tree[name]
        except (KeyError, TypeError, IndexError):
            return None
    return tree * scale if isinstance(tree, int | float) else None

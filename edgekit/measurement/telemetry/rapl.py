"""The energy that a processor's own counters report (RAPL): packages and memory, of Intel and AMD."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from edgekit.measurement.machine.jetson import text
from edgekit.measurement.telemetry.source import Missing, Reading, Source

ZONES = "sys/class/powercap"


class RaplSource:
    """The counters of the zones that do not contain each other: package-N, and dram."""

    name = "rapl"
    board_rail: str | None = None
    settings: Mapping[str, str] = {}

    def __init__(self, zones: Mapping[str, Path]) -> None:
        self.zones = zones
        self.range = {name: int(text(zone / "max_energy_range_uj") or 0) for name, zone in zones.items()}
        self.last: dict[str, int] = {}
        self.turns = dict.fromkeys(zones, 0)  # how often a counter began again at 0

    def read(self) -> Reading:
        """The joules each zone has counted."""
        joules = {}
        for name, zone in self.zones.items():
            count = int((zone / "energy_uj").read_text())
            if count < self.last.get(name, 0):
                self.turns[name] += 1
            self.last[name] = count
            joules[name] = (count + self.turns[name] * self.range[name]) / 1e6
        return Reading(joules=joules)

    def threads(self) -> tuple[threading.Thread, ...]:
        """None."""
        return ()

    def close(self) -> None:
        """Nothing is open."""


def open_rapl(root: Path = Path("/")) -> Source | Missing:
    """The counters below ``root``/sys/class/powercap, if they are there and may be read."""
    zones = {}
    for zone in sorted((root / ZONES).glob("intel-rapl:*")):  # AMD's are named so too
        name = text(zone / "name")
        if name.startswith("package"):
            zones[f"cpu {name}"] = zone
        elif name == "dram":
            zones[f"{name} {zone.name.split(':')[1]}"] = zone
    if not zones:
        return Missing("rapl", "this processor or virtual machine has no energy counters", "nothing to do")
    try:
        for zone in zones.values():
            int((zone / "energy_uj").read_text())
    except PermissionError:
        remedy = f"sudo chmod a+r {' '.join(str(z / 'energy_uj') for z in zones.values())}"
        return Missing("rapl", "only root may read the processor's energy counters", remedy)
    except (OSError, ValueError) as error:
        return Missing("rapl", f"the processor's energy counters cannot be read: {error}", "look at dmesg")
    return RaplSource(zones)

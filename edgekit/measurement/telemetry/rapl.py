"""The power that a processor's own energy counters report (RAPL): packages and memory, of Intel and AMD."""

from __future__ import annotations

import time
from pathlib import Path

from edgekit.measurement.machine.jetson import text
from edgekit.measurement.telemetry.source import Missing, Sample, TelemetrySource

ZONES = "sys/class/powercap"


def open_rapl(root: Path = Path("/")) -> TelemetrySource | Missing:
    """The counters below ``root``/sys/class/powercap, if they are there and may be read.

    They are of the zones that do not contain each other: package-N, and dram. A sample is the mean power since the
    sample before it; the first has none.
    """
    zones = {}
    for zone in sorted((root / ZONES).glob("intel-rapl:*")):  # AMD's are named so too
        name = text(zone / "name")
        if name.startswith("package"):
            zones[f"cpu {name}"] = zone
        elif name == "dram":
            zones[f"{name} {zone.name.split(':')[1]}"] = zone
    if not zones:
        return Missing("rapl", "this processor or virtual machine has no energy counters", "nothing to do")
    ranges = {name: int(text(zone / "max_energy_range_uj") or 0) for name, zone in zones.items()}
    before: dict[str, tuple[float, int]] = {}  # when, and how many microjoules

    def read() -> Sample:
        watts = {}
        for name, zone in zones.items():
            count, now = int((zone / "energy_uj").read_text()), time.perf_counter()
            if name in before:
                since, counted = before[name]
                spent = count - counted + (ranges[name] if count < counted else 0)  # it began again at 0
                watts[name, "W"] = spent / 1e6 / (now - since)
            before[name] = now, count
        return Sample(watts)

    try:
        read()
    except PermissionError:
        remedy = f"sudo chmod a+r {' '.join(str(z / 'energy_uj') for z in zones.values())}"
        return Missing("rapl", "only root may read the processor's energy counters", remedy)
    except (OSError, ValueError) as error:
        return Missing("rapl", f"the processor's energy counters cannot be read: {error}", "look at dmesg")
    before.clear()
    return TelemetrySource("rapl", read)

"""The Jetson that this is: module, L4T, JetPack, compute capability, power mode, whether its clocks are pinned."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

# L4T releases and the JetPack each belongs to (https://developer.nvidia.com/embedded/jetpack-archive). An unknown
# release is given its series only.
JETPACKS = {
    "35.3.1": "5.1.1",
    "35.4.1": "5.1.2",
    "35.5.0": "5.1.3",
    "35.6.0": "5.1.4",
    "36.3.0": "6.0",
    "36.4.0": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.4.7": "6.2.1",
    "36.5.0": "6.2.2",
    "38.2.0": "7.0",
    "38.2.1": "7.0",
    "38.2.2": "7.0",
    "38.4.0": "7.1",
    "39.2.0": "7.2",
}
SERIES = {32: "4", 34: "5", 35: "5", 36: "6", 38: "7", 39: "7"}
CAPABILITIES = {"tegra194": "7.2", "tegra234": "8.7", "tegra264": "11.0"}  # of the GPU inside the chip
MODULES = {
    "p3701-0000": "AGX Orin 32GB (developer kit)",
    "p3701-0004": "AGX Orin 32GB",
    "p3701-0005": "AGX Orin 64GB",
    "p3767-0000": "Orin NX 16GB",
    "p3767-0001": "Orin NX 8GB",
    "p3767-0003": "Orin Nano 8GB",
    "p3767-0004": "Orin Nano 4GB",
    "p3767-0005": "Orin Nano 8GB (developer kit)",
    "p3834-0008": "Thor T5000 (developer kit)",
}


@dataclass(frozen=True)
class Jetson:
    """A Jetson board; what could not be read is None.

    ``power_modes`` are those that ``nvpmodel`` knows, ``power_mode`` the one it was last set to. ``clocks_pinned`` says
    whether the GPU's lowest clock is its highest, as ``jetson_clocks`` sets it.
    """

    model: str
    module: str | None
    chip: str | None
    compute_capability: str | None
    l4t: str | None
    jetpack: str | None
    power_mode: str | None
    power_modes: tuple[str, ...]
    clocks_pinned: bool | None


def read_jetson(root: Path = Path("/")) -> Jetson | None:
    """The Jetson whose files lie under ``root``; None if it is not a Jetson.

    A container sees the board's /proc/device-tree but often not its /etc, so L4T may be None there.
    """
    model = text(root / "proc/device-tree/model")
    compatible = text(root / "proc/device-tree/compatible")
    release = text(root / "etc/nv_tegra_release")
    chip = next(iter(re.findall(r"tegra\d+", compatible)), None)
    if "jetson" not in model.lower() and not release and chip not in CAPABILITIES:
        return None
    version = re.search(r"R(\d+)\D+REVISION:\s*([\d.]+)", release)  # in "# R36 (release), REVISION: 4.3, GCID: ..."
    l4t = f"{version[1]}.{version[2]}" if version else None
    part = next((p for p in re.findall(r"p\d{4}-\d{4}", compatible) if p in MODULES), None)
    mode, modes = _power_modes(root)
    return Jetson(
        model=model or "NVIDIA Jetson",
        module=MODULES.get(part or ""),
        chip=chip,
        compute_capability=CAPABILITIES.get(chip or ""),
        l4t=l4t,
        jetpack=_jetpack(l4t),
        power_mode=mode,
        power_modes=modes,
        clocks_pinned=_clocks_pinned(root),
    )


def text(path: Path) -> str:
    """A small file of /proc, /sys or /etc without its trailing zero bytes and spaces; "" if it cannot be read."""
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _jetpack(l4t: str | None) -> str | None:
    if l4t is None:
        return None
    series = SERIES.get(int(l4t.split(".")[0]))
    return JETPACKS.get(l4t, f"{series}.x" if series else None)


def _power_modes(root: Path) -> tuple[str | None, tuple[str, ...]]:
    """The mode ``nvpmodel`` was last set to and all it knows, from its configuration and its status file."""
    configuration = text(root / "etc/nvpmodel.conf")
    named = re.findall(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", configuration)
    modes = {int(number): name for number, name in named}
    status = re.search(r"pmode:(\d+)", text(root / "var/lib/nvpmodel/status"))
    default = re.search(r"<\s*PM_CONFIG\s+DEFAULT=(\d+)", configuration)
    number = status or default  # never set: the default of the configuration holds
    return (modes.get(int(number[1])) if number else None), tuple(modes.values())


def _clocks_pinned(root: Path) -> bool | None:
    for folder in sorted((root / "sys/class/devfreq").glob("*gpu*")):
        lowest, highest = text(folder / "min_freq"), text(folder / "max_freq")
        if lowest and highest:
            return lowest == highest
    return None

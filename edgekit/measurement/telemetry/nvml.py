"""Telemetry of an NVIDIA GPU from its driver's management library: power, energy, clocks, temperature, throttling."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from edgekit.measurement.telemetry.source import Missing, Reading, Source
from edgekit.runtime.gpu import NoGpu, first_gpu_uuid

# Bits of the driver's clock event reasons (nvml.h) that mean the GPU runs slower than it would.
REASONS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "GPU too hot (software)",
    0x40: "GPU too hot (hardware)",
    0x80: "power brake",
}


class NvmlSource:
    """The GPU with a UUID, through pynvml; what this GPU does not report is left out, found out once.

    A MIG instance has memory of its own; power, clocks and temperature are its whole GPU's.
    """

    name = "nvml"
    board_rail: str | None = None

    def __init__(self, nvml: Any, uuid: str) -> None:
        self.nvml = nvml
        self.device, self.is_mig = self._find(uuid)
        self.gpu = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self.device) if self.is_mig else self.device
        candidates: dict[tuple[str, str], Callable[[], float]] = {
            ("gpu", "W"): lambda: nvml.nvmlDeviceGetPowerUsage(self.gpu) / 1e3,
            ("gpu", "J"): lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(self.gpu) / 1e3,
            ("gpu", "celsius"): lambda: nvml.nvmlDeviceGetTemperature(self.gpu, nvml.NVML_TEMPERATURE_GPU),
            ("gpu", "MHz"): lambda: nvml.nvmlDeviceGetClockInfo(self.gpu, nvml.NVML_CLOCK_SM),
            ("gpu memory", "MHz"): lambda: nvml.nvmlDeviceGetClockInfo(self.gpu, nvml.NVML_CLOCK_MEM),
            ("gpu", "MB"): lambda: nvml.nvmlDeviceGetMemoryInfo(self.device).used / 1e6,
        }
        self.calls = {key: call for key, call in candidates.items() if self._answers(call)}
        # A new pynvml has both names, a driver before 535 only the second.
        names = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
        reasons = [partial(getattr(nvml, name), self.gpu) for name in names if hasattr(nvml, name)]
        if (throttled := next((call for call in reasons if self._answers(call)), None)) is not None:
            self.calls["throttled", ""] = throttled
        self.settings: Mapping[str, str] = self._settings()

    def read(self) -> Reading:
        """Ask the driver for each number this GPU has."""
        values = {key: float(call()) for key, call in self.calls.items()}
        joules = {"gpu": values.pop(("gpu", "J"))} if ("gpu", "J") in values else {}
        bits = values.pop(("throttled", ""), None)
        throttled = None if bits is None else tuple(name for bit, name in REASONS.items() if int(bits) & bit)
        return Reading(values, joules, throttled)

    def threads(self) -> tuple[threading.Thread, ...]:
        """None: each call answers at once."""
        return ()

    def close(self) -> None:
        """Give the library back."""
        self.nvml.nvmlShutdown()

    def _find(self, uuid: str) -> tuple[Any, bool]:
        """The handle of a GPU or a MIG instance, and whether it is the latter: CUDA's UUIDs do not say which."""
        try:
            return self.nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}"), False
        except self.nvml.NVMLError:
            return self.nvml.nvmlDeviceGetHandleByUUID(f"MIG-{uuid}"), True

    def _answers(self, call: Callable[[], float]) -> bool:
        try:
            call()
        except self.nvml.NVMLError:  # not supported by this GPU
            return False
        return True

    def _settings(self) -> dict[str, str]:
        settings = {}
        for name, read in {
            "gpu": lambda: self.nvml.nvmlDeviceGetName(self.device),
            "gpu power limit": lambda: f"{self.nvml.nvmlDeviceGetEnforcedPowerLimit(self.gpu) / 1e3:g} W",
        }.items():
            try:
                settings[name] = str(read())
            except self.nvml.NVMLError:
                continue
        if self.is_mig:
            settings["gpu power"] = "of the whole GPU, with its other MIG instances"
        return settings


def open_nvml(
    load: Callable[[], Any] | None = None, used: Callable[[], str | NoGpu] = first_gpu_uuid
) -> Source | Missing:
    """Connect to the driver; ``load`` gives the pynvml module, ``used`` the UUID of the GPU that this process uses."""
    try:
        nvml = (load or _load)()
    except ImportError:
        return Missing("nvml", "nvidia-ml-py is not installed", "pip install 'edgekit[telemetry]'")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        name = type(error).__name__.removeprefix("NVMLError_")
        if name == "LibraryNotFound":
            return Missing("nvml", "there is no NVIDIA driver", "nothing to do without an NVIDIA GPU")
        return Missing(
            "nvml", f"the NVIDIA driver is broken: {error}", "run nvidia-smi; reboot or reinstall the driver"
        )
    uuid = used()
    if isinstance(uuid, NoGpu):
        nvml.nvmlShutdown()
        return Missing("nvml", uuid.reason, uuid.remedy)
    try:
        return NvmlSource(nvml, uuid)
    except nvml.NVMLError as error:
        nvml.nvmlShutdown()
        return Missing("nvml", f"the driver does not show the GPU {uuid}: {error}", "look at nvidia-smi -L")


def _load() -> Any:
    import pynvml

    return pynvml

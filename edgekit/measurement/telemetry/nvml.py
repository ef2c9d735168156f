"""Telemetry of an NVIDIA GPU from its driver's management library: power, clocks, temperature, memory, throttling."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

from edgekit.measurement.telemetry.source import Missing, Sample, TelemetrySource
from edgekit.runtime.gpu import NoGpu, first_gpu_uuid

# Bits of the driver's clock event reasons (nvml.h) that mean the GPU runs slower than it would.
REASONS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "GPU too hot (software)",
    0x40: "GPU too hot (hardware)",
    0x80: "power brake",
}


def open_nvml(
    load: Callable[[str], Any] = importlib.import_module, used: Callable[[], str | NoGpu] = first_gpu_uuid
) -> TelemetrySource | Missing:
    """Connect to the driver; ``used`` gives the UUID of the GPU that this process uses."""
    try:
        nvml = load("pynvml")
    except ImportError:
        return Missing("nvml", "nvidia-ml-py is not installed", "pip install 'edgekit[telemetry]'")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        if type(error).__name__ == "NVMLError_LibraryNotFound":
            return Missing("nvml", "there is no NVIDIA driver", "nothing to do without an NVIDIA GPU")
        remedy = "run nvidia-smi; reboot or reinstall the driver"
        return Missing("nvml", f"the NVIDIA driver is broken: {error}", remedy)
    uuid = used()
    if isinstance(uuid, NoGpu):
        nvml.nvmlShutdown()
        return Missing("nvml", uuid.reason, uuid.remedy)
    try:
        return _source(nvml, uuid)
    except nvml.NVMLError as error:
        nvml.nvmlShutdown()
        return Missing("nvml", f"the driver does not show the GPU {uuid}: {error}", "look at nvidia-smi -L")


def _source(nvml: Any, uuid: str) -> TelemetrySource:
    """The GPU with a UUID; what this GPU does not report is left out, found out once.

    A MIG instance has memory of its own; power, clocks and temperature are its whole GPU's.
    """
    device, is_mig = _find(nvml, uuid)
    gpu = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device) if is_mig else device
    candidates: dict[tuple[str, str], Callable[[], float]] = {
        ("gpu", "W"): lambda: nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3,
        ("gpu", "celsius"): lambda: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
        ("gpu", "MHz"): lambda: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM),
        ("gpu memory", "MHz"): lambda: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM),
        ("gpu", "MB"): lambda: nvml.nvmlDeviceGetMemoryInfo(device).used / 1e6,
    }
    calls = {key: call for key, call in candidates.items() if _answer(nvml, call) is not None}
    # A new pynvml has both names, a driver before 535 only the second.
    names = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
    functions = [partial(getattr(nvml, name), gpu) for name in names if hasattr(nvml, name)]
    reasons = next((function for function in functions if _answer(nvml, function) is not None), None)

    def read() -> Sample:
        values = {key: float(call()) for key, call in calls.items()}
        if reasons is None:
            return Sample(values)
        bits = int(reasons())
        return Sample(values, tuple(name for bit, name in REASONS.items() if bits & bit))

    said = {
        "gpu": _answer(nvml, lambda: nvml.nvmlDeviceGetName(device)),
        "gpu power limit": _answer(nvml, lambda: f"{nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1e3:g} W"),
        "gpu power": "of the whole GPU, with its other MIG instances" if is_mig else None,
    }
    settings = {name: str(value) for name, value in said.items() if value is not None}
    return TelemetrySource("nvml", read, settings, close=nvml.nvmlShutdown)


def _find(nvml: Any, uuid: str) -> tuple[Any, bool]:
    """The handle of a GPU or a MIG instance, and whether it is the latter: CUDA's UUIDs do not say which."""
    try:
        return nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}"), False
    except nvml.NVMLError:
        return nvml.nvmlDeviceGetHandleByUUID(f"MIG-{uuid}"), True


def _answer(nvml: Any, call: Callable[[], Any]) -> Any:
    """What a call returns; None where this GPU does not support it."""
    try:
        return call()
    except nvml.NVMLError:
        return None

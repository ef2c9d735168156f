"""pynvml as a driver gives it; the real module is asked too, where it is installed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edgekit.measurement.telemetry.nvml import open_nvml
from edgekit.measurement.telemetry.source import Missing, TelemetrySource
from edgekit.runtime.gpu import Gpu, NoGpu, first_gpu


class NVMLError(Exception):
    pass


class NVMLError_LibraryNotFound(NVMLError):
    pass


class NVMLError_DriverNotLoaded(NVMLError):
    pass


UUID = "00000000-0000-0000-0000-00000000000"
DEVICES = {f"GPU-{UUID}0": "gpu 0", f"GPU-{UUID}1": "gpu 1", f"MIG-{UUID}2": "mig of gpu 1"}


def nvml(**changes: Any) -> Any:
    """A driver with an RTX card that is at its power cap."""

    def handle(uuid: str) -> str:
        if uuid not in DEVICES:
            raise NVMLError("Not Found")
        return DEVICES[uuid]

    functions = {
        "NVMLError": NVMLError,
        "NVML_TEMPERATURE_GPU": 0,
        "NVML_CLOCK_SM": 1,
        "NVML_CLOCK_MEM": 2,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetHandleByUUID": handle,
        "nvmlDeviceGetDeviceHandleFromMigDeviceHandle": lambda _g: "gpu 1",
        "nvmlDeviceGetName": lambda _g: "NVIDIA GeForce RTX 3080",
        "nvmlDeviceGetEnforcedPowerLimit": lambda _g: 320000,
        "nvmlDeviceGetPowerUsage": lambda _g: 250500,
        "nvmlDeviceGetTemperature": lambda _g, sensor: 71 + sensor,
        "nvmlDeviceGetClockInfo": lambda _g, kind: {1: 1800, 2: 9501}[kind],
        "nvmlDeviceGetMemoryInfo": lambda _g: SimpleNamespace(used=2_000_000_000),
        "nvmlDeviceGetCurrentClocksEventReasons": lambda _g: 0x04 | 0x01,
    }
    return SimpleNamespace(**{**functions, **changes})


def opened(**changes: Any) -> TelemetrySource | Missing:
    return open_nvml(lambda _name: nvml(**changes), lambda: f"{UUID}0")


def test_readings() -> None:
    source = opened()
    assert isinstance(source, TelemetrySource)
    reading = source.read()
    assert reading.values == {
        ("gpu", "W"): 250.5,
        ("gpu", "celsius"): 71,
        ("gpu", "MHz"): 1800,
        ("gpu memory", "MHz"): 9501,
        ("gpu", "MB"): 2000,
    }
    assert reading.throttled == ("power cap",)
    assert source.settings == {"gpu": "NVIDIA GeForce RTX 3080", "gpu power limit": "320 W"}


def test_an_idle_gpu() -> None:
    source = opened(nvmlDeviceGetCurrentClocksEventReasons=lambda _g: 0x01)
    assert isinstance(source, TelemetrySource)
    assert source.read().throttled == ()


def test_a_gpu_that_does_not_say_whether_it_throttles() -> None:
    def unsupported(_gpu: object) -> int:
        raise NVMLError("Not Supported")

    source = opened(nvmlDeviceGetCurrentClocksEventReasons=unsupported)
    assert isinstance(source, TelemetrySource)
    assert source.read().throttled is None


def test_throttling_of_a_driver_before_535() -> None:
    """A new pynvml asks it for a function that it does not have."""

    def not_found(_gpu: object) -> int:
        raise NVMLError("Function Not Found")

    old = {"nvmlDeviceGetCurrentClocksThrottleReasons": lambda _g: 0x40}
    source = opened(nvmlDeviceGetCurrentClocksEventReasons=not_found, **old)
    assert isinstance(source, TelemetrySource)
    assert source.read().throttled == ("GPU too hot (hardware)",)


@pytest.mark.parametrize(
    ("error", "said"),
    [(NVMLError_LibraryNotFound, "no NVIDIA driver"), (NVMLError_DriverNotLoaded, "driver is broken")],
)
def test_why_it_is_missing(error: type[NVMLError], said: str) -> None:
    def fail() -> None:
        raise error("kernel module not loaded")

    missing = open_nvml(lambda _name: nvml(nvmlInit=fail))
    assert isinstance(missing, Missing)
    assert said in missing.reason
    assert missing.remedy


def test_no_package_and_no_gpu() -> None:
    def absent(_name: str) -> Any:
        raise ImportError

    missing = open_nvml(absent)
    assert isinstance(missing, Missing)
    assert "edgekit[telemetry]" in missing.remedy

    missing = open_nvml(lambda _name: nvml(), lambda: f"{UUID}9")
    assert isinstance(missing, Missing)
    assert f"does not show the GPU {UUID}9: Not Found" in missing.reason


@pytest.mark.parametrize(
    ("used", "device", "gpu"), [("0", "gpu 0", "gpu 0"), ("1", "gpu 1", "gpu 1"), ("2", "mig of gpu 1", "gpu 1")]
)
def test_it_reads_the_gpu_that_this_process_uses(used: str, device: str, gpu: str) -> None:
    """NVML's first GPU is not CUDA's, and only memory is a MIG instance's own."""
    asked = nvml(
        nvmlDeviceGetPowerUsage=lambda g: {"gpu 0": 10_000, "gpu 1": 20_000}[g],
        nvmlDeviceGetMemoryInfo=lambda g: SimpleNamespace(used=1e6 * (1 + list(DEVICES.values()).index(g))),
    )
    source = open_nvml(lambda _name: asked, lambda: f"{UUID}{used}")
    assert isinstance(source, TelemetrySource)
    values = source.read().values
    assert values["gpu", "W"] == {"gpu 0": 10, "gpu 1": 20}[gpu]
    assert values["gpu", "MB"] == 1 + list(DEVICES.values()).index(device)
    assert ("gpu power" in source.settings) is (device != gpu)


def test_a_process_that_may_use_no_gpu_reads_none() -> None:
    closed = []
    found = nvml(nvmlShutdown=lambda: closed.append(True))
    missing = open_nvml(lambda _name: found, lambda: NoGpu("no GPU it may use", "look at CUDA_VISIBLE_DEVICES"))
    assert missing == Missing("nvml", "no GPU it may use", "look at CUDA_VISIBLE_DEVICES")
    assert closed


def test_the_real_module_has_what_is_called() -> None:
    pynvml = pytest.importorskip("pynvml")
    assert [name for name in vars(nvml()) if not hasattr(pynvml, name)] == []
    if not isinstance(first_gpu(), Gpu):
        assert isinstance(open_nvml(), Missing)


@pytest.mark.usefixtures("gpu")
@pytest.mark.gpu
def test_on_a_gpu() -> None:
    source = open_nvml()
    assert isinstance(source, TelemetrySource)
    assert source.read().values["gpu", "MB"] > 0

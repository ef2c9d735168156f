"""The NVIDIA GPU that this process uses, as the driver itself describes it, and how much memory is free for it."""

from __future__ import annotations

import ctypes
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError

DRIVER_LIBRARY = "libcuda.so.1"
DEVICE_FILES = ("/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu")  # a desktop's, then those of Jetsons
NO_DEVICE, OLD_DRIVER = 100, 803  # CUDA_ERROR_NO_DEVICE, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
MAJOR, MINOR, INTEGRATED = 75, 76, 18  # CU_DEVICE_ATTRIBUTE_...


@dataclass(frozen=True)
class Gpu:
    """The first GPU: its name, compute capability ("8.7"), and whether it shares the host's memory, as on a Jetson."""

    name: str
    compute_capability: str
    integrated: bool
    free_mb: int


@dataclass(frozen=True)
class NoGpu:
    """Why no GPU can be used, and what to do about it; ``broken`` if a GPU or its driver is there all the same."""

    reason: str
    remedy: str
    broken: bool = False


def first_gpu(
    driver: Any = None, device_files: Sequence[str] = DEVICE_FILES, meminfo: Path = Path("/proc/meminfo")
) -> Gpu | NoGpu:
    """The GPU that CUDA calls device 0, or why there is none; ``driver`` is the driver's library, loaded by default."""
    driver = _initialised(driver, device_files)
    if isinstance(driver, NoGpu):
        return driver
    try:
        return _describe(driver, meminfo)
    except EdgekitError as error:  # it initialises, but gives no context: no memory left, or the device is exclusive
        return NoGpu(error.message, error.hint or "run nvidia-smi", broken=True)


def first_gpu_uuid(driver: Any = None, device_files: Sequence[str] = DEVICE_FILES) -> str | NoGpu:
    """The UUID of the GPU, or of its MIG instance, that CUDA calls device 0, without a prefix; or why there is none.

    CUDA counts the devices that CUDA_VISIBLE_DEVICES names, the fastest first; NVML counts all, by their PCI bus.
    """
    driver = _initialised(driver, device_files)
    if isinstance(driver, NoGpu):
        return driver
    device, found = ctypes.c_int(0), (ctypes.c_ubyte * 16)()
    try:
        _check(driver.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
        _check(driver.cuDeviceGetUuid_v2(found, device), "cuDeviceGetUuid")
    except EdgekitError as error:
        return NoGpu(error.message, error.hint or "run nvidia-smi", broken=True)
    return str(uuid.UUID(bytes=bytes(found)))


def _initialised(driver: Any, device_files: Sequence[str]) -> Any | NoGpu:
    """The driver's library, ready for calls about a device, or why there is no device."""
    present = nvidia_device(device_files)
    if driver is None:
        try:
            driver = ctypes.CDLL(DRIVER_LIBRARY)
        except OSError:
            if present:
                remedy = f"install the driver's {DRIVER_LIBRARY}; in a container, start it with --runtime nvidia"
                return NoGpu(f"there is an NVIDIA GPU but no driver library {DRIVER_LIBRARY}", remedy, broken=True)
            return NoGpu("no NVIDIA GPU or driver", "run this on the device")
    status = driver.cuInit(0)
    count = ctypes.c_int(0)
    if status == 0:
        status = driver.cuDeviceGetCount(ctypes.byref(count))
    if status == NO_DEVICE or (status == 0 and count.value == 0):
        remedy = "look at CUDA_VISIBLE_DEVICES and nvidia-smi"
        return NoGpu("there is an NVIDIA driver but no GPU it may use", remedy, broken=present)
    if status == OLD_DRIVER:
        reason = "the NVIDIA driver and its kernel module are of different versions"
        return NoGpu(reason, "reboot, or install it again", broken=True)
    if status != 0:
        reason = f"the NVIDIA driver is broken (cuInit: error {status})"
        return NoGpu(reason, "run nvidia-smi; install the driver again", broken=True)
    return driver


def nvidia_device(files: Sequence[str] | None = None) -> bool:
    """Whether a device file of an NVIDIA GPU is there, whatever its driver says."""
    return any(Path(file).exists() for file in (DEVICE_FILES if files is None else files))


def gpu_here() -> Gpu:
    """The first GPU; raises EdgekitError if there is none."""
    found = first_gpu()
    if isinstance(found, NoGpu):
        raise EdgekitError(found.reason, found.remedy)
    return found


def available_mb(meminfo: Path = Path("/proc/meminfo")) -> int:
    """The host's memory that can be had without swapping, in MB."""
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 // 1_000_000
    raise EdgekitError(f"{meminfo}: says nothing of MemAvailable", "give --workspace-mb")


def _describe(driver: Any, meminfo: Path) -> Gpu:
    device = ctypes.c_int(0)
    _check(driver.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
    name = ctypes.create_string_buffer(256)
    _check(driver.cuDeviceGetName(name, len(name), device), "cuDeviceGetName")
    major, minor, integrated = (_attribute(driver, device, a) for a in (MAJOR, MINOR, INTEGRATED))
    # What CUDA calls free on a Jetson leaves out the page cache, which the kernel gives up when asked.
    free = available_mb(meminfo) if integrated else _free_mb(driver, device)
    return Gpu(name.value.decode(errors="replace"), f"{major}.{minor}", bool(integrated), free)


def _attribute(driver: Any, device: ctypes.c_int, attribute: int) -> int:
    value = ctypes.c_int(0)
    _check(driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device), "cuDeviceGetAttribute")
    return value.value


def _free_mb(driver: Any, device: ctypes.c_int) -> int:
    """Free device memory; asking takes a context, which the CUDA runtime will use too."""
    context, popped = ctypes.c_void_p(), ctypes.c_void_p()
    free, total = ctypes.c_size_t(0), ctypes.c_size_t(0)
    _check(driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device), "cuDevicePrimaryCtxRetain")
    try:
        _check(driver.cuCtxPushCurrent_v2(context), "cuCtxPushCurrent")
        _check(driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)), "cuMemGetInfo")
        _check(driver.cuCtxPopCurrent_v2(ctypes.byref(popped)), "cuCtxPopCurrent")
    finally:
        driver.cuDevicePrimaryCtxRelease_v2(device)
    return free.value // 1_000_000


def _check(status: int, call: str) -> None:
    if status != 0:
        raise EdgekitError(f"the NVIDIA driver is broken ({call}: error {status})", "run nvidia-smi")

"""The NVIDIA GPU that this process uses, as the driver itself describes it, and how much memory is free for it."""

from __future__ import annotations

import ctypes
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edgekit.errors import EdgekitError

T = TypeVar("T")
MEMINFO = Path("/proc/meminfo")
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


def first_gpu(driver: Any = None) -> Gpu | NoGpu:
    """The GPU that CUDA calls device 0, or why there is none; ``driver`` is libcuda, loaded by default."""
    return _ask(driver, _describe)


def first_gpu_uuid(driver: Any = None) -> str | NoGpu:
    """The UUID of the GPU, or of its MIG instance, that CUDA calls device 0, without a prefix; or why there is none.

    CUDA counts the devices that CUDA_VISIBLE_DEVICES names, the fastest first; NVML counts all, by their PCI bus.
    """
    return _ask(driver, _uuid)


def gpu_here() -> Gpu:
    """The first GPU; raises EdgekitError if there is none."""
    found = first_gpu()
    if isinstance(found, NoGpu):
        raise EdgekitError(found.reason, found.remedy)
    return found


def nvidia_device() -> bool:
    """Whether a device file of an NVIDIA GPU is there, whatever its driver says."""
    return any(Path(file).exists() for file in DEVICE_FILES)


def _ask(driver: Any, question: Callable[[Any, ctypes.c_int], T]) -> T | NoGpu:
    driver = _initialised(driver)
    if isinstance(driver, NoGpu):
        return driver
    device = ctypes.c_int(0)
    try:
        _call(driver, "cuDeviceGet", ctypes.byref(device), 0)
        return question(driver, device)
    except EdgekitError as error:  # it initialises, but gives no context: no memory left, or the device is exclusive
        return NoGpu(error.message, error.hint, broken=True)


def _initialised(driver: Any) -> Any | NoGpu:
    """The driver's library, ready for calls about a device, or why there is no device."""
    present = nvidia_device()
    try:
        driver = driver or ctypes.CDLL(DRIVER_LIBRARY)
    except OSError:
        if present:
            remedy = f"install the driver's {DRIVER_LIBRARY}; in a container, start it with --runtime nvidia"
            return NoGpu(f"there is an NVIDIA GPU but no driver library {DRIVER_LIBRARY}", remedy, broken=True)
        return NoGpu("no NVIDIA GPU or driver", "run this on the device")
    count = ctypes.c_int(0)
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
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


def _describe(driver: Any, device: ctypes.c_int) -> Gpu:
    name = ctypes.create_string_buffer(256)
    _call(driver, "cuDeviceGetName", name, len(name), device)
    numbers = [ctypes.c_int(0) for _ in range(3)]
    for value, attribute in zip(numbers, (MAJOR, MINOR, INTEGRATED), strict=True):
        _call(driver, "cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
    major, minor, integrated = (value.value for value in numbers)
    # What CUDA calls free on a Jetson leaves out the page cache, which the kernel gives up when asked.
    free_mb = _available_mb() if integrated else _free_mb(driver, device)
    return Gpu(name.value.decode(errors="replace"), f"{major}.{minor}", bool(integrated), free_mb)


def _uuid(driver: Any, device: ctypes.c_int) -> str:
    found = (ctypes.c_ubyte * 16)()
    _call(driver, "cuDeviceGetUuid_v2", found, device)
    return str(uuid.UUID(bytes=bytes(found)))


def _available_mb() -> int:
    """The host's memory that can be had without swapping."""
    for line in MEMINFO.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 // 1_000_000
    raise EdgekitError(f"{MEMINFO}: has no MemAvailable", "give --workspace-mb")


def _free_mb(driver: Any, device: ctypes.c_int) -> int:
    """Free device memory; asking takes a context, which the CUDA runtime will use too."""
    context, popped = ctypes.c_void_p(), ctypes.c_void_p()
    free, total = ctypes.c_size_t(0), ctypes.c_size_t(0)
    _call(driver, "cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    try:
        _call(driver, "cuCtxPushCurrent_v2", context)
        _call(driver, "cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        _call(driver, "cuCtxPopCurrent_v2", ctypes.byref(popped))
    finally:
        driver.cuDevicePrimaryCtxRelease_v2(device)
    return free.value // 1_000_000


def _call(driver: Any, function: str, *arguments: Any) -> None:
    status = getattr(driver, function)(*arguments)
    if status != 0:
        call = function.removesuffix("_v2")
        raise EdgekitError(f"the NVIDIA driver is broken ({call}: error {status})", "run nvidia-smi")

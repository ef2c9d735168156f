"""CUDA's calls through both generations of cuda-python, which modules with the same functions stand in for."""

from __future__ import annotations

import ctypes
import enum
import sys
from types import ModuleType
from typing import Any

import pytest

from edgekit.errors import EdgekitError
from edgekit.runtime.cuda import MODULES, Cuda, load_cuda

NAMES = ("cudaSuccess", "cudaErrorMemoryAllocation", "cudaErrorInsufficientDriver", "cudaErrorLaunchFailure")
Status = enum.Enum("Status", NAMES)
NOT_THERE = dict.fromkeys(("cuda", "cuda.bindings", *MODULES))


def runtime(status: str = "cudaSuccess") -> Any:
    """cuda-python's runtime module, of which every call ends in ``status``."""
    module: Any = ModuleType("runtime")
    module.cudaError_t, module.cudaHostAllocDefault = Status, 0
    module.memory = (ctypes.c_uint8 * 16)()
    module.cudaHostAlloc = lambda *_: (Status[status], ctypes.addressof(module.memory))
    module.cudaFreeHost = lambda address: (Status[status],)
    return module


@pytest.mark.parametrize("name", MODULES)
def test_either_generation_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in NOT_THERE:
        monkeypatch.setitem(sys.modules, missing, None)
    for parent in ("cuda", "cuda.bindings"):
        if name.startswith(f"{parent}."):
            monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
    module = runtime()
    monkeypatch.setitem(sys.modules, name, module)
    assert load_cuda().runtime is module


def test_no_cuda_python(monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in NOT_THERE:
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(EdgekitError, match=r"cuda-python is not installed, and engines need it \(pip install"):
        load_cuda()


def test_pinned_memory_is_the_drivers_own() -> None:
    module = runtime()
    cuda = Cuda(module)
    memory = cuda.pinned(16)
    memory[3] = 7
    assert bytes(module.memory) == b"\0\0\0\7" + 12 * b"\0"
    cuda.free_pinned(memory)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("cudaErrorMemoryAllocation", r"the GPU's memory is full \(close other programs"),
        ("cudaErrorInsufficientDriver", r"the NVIDIA driver is missing or older"),
    ],
)
def test_failures_that_a_user_can_mend(status: str, words: str) -> None:
    with pytest.raises(EdgekitError, match=words):
        Cuda(runtime(status)).pinned(16)


def test_any_other_failure_is_a_bug_and_names_the_call() -> None:
    with pytest.raises(RuntimeError, match="cudaHostAlloc: cudaErrorLaunchFailure"):
        Cuda(runtime("cudaErrorLaunchFailure")).pinned(16)


@pytest.mark.usefixtures("gpu")
@pytest.mark.gpu
def test_a_recorded_copy_on_a_gpu() -> None:
    cuda = load_cuda()
    stream, host, device = cuda.stream(), cuda.pinned(512), cuda.call("cudaMalloc", 256)
    cuda.begin_capture(stream)
    cuda.copy(device, host.ctypes.data, 256, True, stream)
    cuda.copy(host.ctypes.data + 256, device, 256, False, stream)
    recorded = cuda.end_capture(stream)
    for value in (1, 2):
        host[:256] = value
        cuda.call("cudaGraphLaunch", recorded, stream)
        cuda.call("cudaStreamSynchronize", stream)
        assert (host[256:] == value).all()
    cuda.call("cudaGraphExecDestroy", recorded)
    cuda.call("cudaFree", device)
    cuda.free_pinned(host)
    cuda.call("cudaStreamDestroy", stream)

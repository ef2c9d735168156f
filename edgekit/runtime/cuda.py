"""The few CUDA calls an engine needs, through either generation of cuda-python, with every status looked at."""

from __future__ import annotations

import ctypes
import importlib
from typing import Any

import numpy as np

from edgekit.errors import EdgekitError

# cuda-python 12.8 and newer, then older ones; both have the same functions.
MODULES = ("cuda.bindings.runtime", "cuda.cudart")
INSTALL = "pip install cuda-python of the device's CUDA: 'cuda-python<13' for CUDA 12 (JetPack 6), else cuda-python"
USER_ERRORS = {
    "cudaErrorMemoryAllocation": ("the GPU's memory is full", "close other programs, or use a smaller engine"),
    "cudaErrorInsufficientDriver": (
        "the NVIDIA driver is missing or older than cuda-python's CUDA",
        f"run this on the device; {INSTALL}",
    ),
    "cudaErrorNoDevice": ("there is no NVIDIA GPU", "run this on the device"),
}


class Cuda:
    """CUDA's runtime calls; each raises where CUDA reports an error."""

    def __init__(self, runtime: Any) -> None:
        self.runtime = runtime

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function of cuda-python and return its value; EdgekitError where the user can mend the failure."""
        status, *values = getattr(self.runtime, function)(*arguments)
        if status != self.runtime.cudaError_t.cudaSuccess:
            name = getattr(status, "name", str(status))
            if name in USER_ERRORS:
                raise EdgekitError(*USER_ERRORS[name])
            raise RuntimeError(f"{function}: {name}")
        return values[0] if values else None

    def pinned(self, nbytes: int) -> np.ndarray:
        """Page-locked host memory as uint8 [nbytes]; free it with ``free_pinned``."""
        address = int(self.call("cudaHostAlloc", nbytes, self.runtime.cudaHostAllocDefault))
        return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))

    def free_pinned(self, memory: np.ndarray) -> None:
        """Give page-locked memory back."""
        self.call("cudaFreeHost", memory.ctypes.data)

    def copy(self, target: int, source: int, nbytes: int, to_device: bool, stream: Any) -> None:
        """Start a copy between host and device on a stream."""
        kinds = self.runtime.cudaMemcpyKind
        kind = kinds.cudaMemcpyHostToDevice if to_device else kinds.cudaMemcpyDeviceToHost
        self.call("cudaMemcpyAsync", target, source, nbytes, kind, stream)

    def stream(self) -> Any:
        """A stream that does not wait for the default stream."""
        return self.call("cudaStreamCreateWithFlags", self.runtime.cudaStreamNonBlocking)

    def begin_capture(self, stream: Any) -> None:
        """Record what this thread starts on a stream, instead of running it."""
        mode = self.runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self.call("cudaStreamBeginCapture", stream, mode)

    def end_capture(self, stream: Any) -> Any:
        """What was recorded, ready for ``cudaGraphLaunch``."""
        graph = self.call("cudaStreamEndCapture", stream)
        try:
            return self.call("cudaGraphInstantiate", graph, 0)
        finally:
            self.call("cudaGraphDestroy", graph)


def load_cuda() -> Cuda:
    """cuda-python, whichever generation is installed; raises EdgekitError if none is."""
    for name in MODULES:
        try:
            return Cuda(importlib.import_module(name))
        except ModuleNotFoundError:
            continue
        except (ImportError, OSError) as error:
            raise EdgekitError(f"cuda-python cannot be loaded: {error}", INSTALL) from None
    raise EdgekitError("cuda-python is not installed, and engines need it", INSTALL)

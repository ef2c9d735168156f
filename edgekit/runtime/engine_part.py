"""One engine of a model in parts, which takes what other engines made where it lies on the GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifacts.manifest import engine_of
from edgekit.runtime.cuda import Cuda, load_cuda
from edgekit.runtime.engine_file import Tensor
from edgekit.runtime.engine_session import context_of, load_engine


@dataclass(frozen=True)
class OnGpu:
    """A value in the GPU's memory, valid until the part that made it runs again."""

    address: int
    tensor: Tensor
    cuda: Cuda
    stream: Any

    def numpy(self) -> np.ndarray:
        """A copy on the host."""
        made = np.empty(self.tensor.shape, self.tensor.dtype)
        self.cuda.copy(made.ctypes.data, self.address, self.tensor.nbytes, False, self.stream)
        self.cuda.call("cudaStreamSynchronize", self.stream)
        return made


class EnginePart:
    """An engine with its own memory for its outputs and for inputs that come from the host.

    All parts of a model run on one ``stream``, so each waits for those before it.
    """

    provider = "engines"

    def __init__(self, path: Path, stream: Any) -> None:
        self.path, self.stream = path, stream
        self.loaded = load_engine(path, whole=False)
        self.cuda = self.loaded.cuda
        self.context, _ = context_of(self.loaded)
        self.tensors = self.loaded.engine.tensors
        self.memory = {t.name: int(self.cuda.call("cudaMalloc", t.nbytes)) for t in self.tensors}
        self.host: list[np.ndarray] = []  # inputs that are being copied

    def run(self, values: Mapping[str, Any]) -> dict[str, OnGpu]:
        """Run on arrays and on what other parts made, of which those that the engine does not take are left out."""
        self.host = []
        for tensor in self.tensors:
            address = self.memory[tensor.name]
            value = values.get(tensor.name) if tensor.is_input else None
            if isinstance(value, OnGpu):
                address = value.address
            elif value is not None:
                self.host.append(np.ascontiguousarray(value, tensor.dtype))
                self.cuda.copy(address, self.host[-1].ctypes.data, tensor.nbytes, True, self.stream)
            if not self.context.set_tensor_address(tensor.name, address):
                raise RuntimeError(f"TensorRT takes no address for {tensor.name}")
        if not self.context.execute_async_v3(int(self.stream)):
            said = list(self.loaded.tensorrt.logger.said.errors)[-1:] or ["it gave no reason"]
            raise RuntimeError(f"{self.path}: TensorRT could not run it: {said[0]}")
        given = [t for t in self.tensors if not t.is_input]
        return {t.name: OnGpu(self.memory[t.name], t, self.cuda, self.stream) for t in given}

    def close(self) -> None:
        """Release the memory."""
        self.context = None
        for address in self.memory.values():
            self.cuda.call("cudaFree", address)
        self.memory = {}


def engine_parts(folder: Path) -> tuple[Callable[[str], EnginePart], str]:
    """What opens the engine of a graph's name in a folder, all on one stream, and what runs them."""
    stream = load_cuda().stream()
    return lambda graph: EnginePart(folder / engine_of(graph), stream), "TensorRT"

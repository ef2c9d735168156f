"""A GPU that is not there: CUDA's runtime, TensorRT and an engine of the tiny detector's shapes, in host memory."""

from __future__ import annotations

import ctypes
import enum
import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from edgekit.runtime import engine_session
from edgekit.runtime.cuda import Cuda
from edgekit.runtime.engine_file import Engine, Tensor, write_engine
from edgekit.runtime.flavours import Messages, TensorRT
from edgekit.runtime.gpu import Gpu
from tests.tiny_detector import META, SIZE, SLOTS

Status = enum.Enum("Status", ("cudaSuccess", "cudaErrorMemoryAllocation", "cudaErrorStreamCaptureUnsupported"))
TENSORS = (
    Tensor("images", True, (1, *SIZE, 3), "uint8"),
    Tensor("boxes", False, (1, SLOTS, 4), "float32"),
    Tensor("labels", False, (1, SLOTS), "int64"),
    Tensor("scores", False, (1, SLOTS), "float32"),
    Tensor("masks", False, (1, SLOTS, 28, 28), "float32"),
)


class Runtime:
    """cuda-python's runtime module: ``calls`` are its functions as they were called, ``held`` what is not freed.

    The function named ``fails`` ends in ``status``. What is started while a stream is captured runs at each launch.
    """

    cudaError_t, cudaHostAllocDefault, cudaStreamNonBlocking = Status, 0, 1
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self, fails: str = "", status: Status = Status.cudaErrorStreamCaptureUnsupported) -> None:
        self.fails, self.status = fails, status
        self.calls: list[str] = []
        self.held: dict[int, Any] = {}
        self.recorded: list[Callable[[], None]] | None = None

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cuda"):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append(name)
            if name == self.fails:
                self.recorded = None
                return (self.status,)
            return (Status.cudaSuccess, *getattr(self, f"_{name}", lambda *_: ())(*arguments))

        return call

    def start(self, work: Callable[[], None]) -> None:
        """Do it now, or record it."""
        work() if self.recorded is None else self.recorded.append(work)

    def _cudaMalloc(self, nbytes: int, *_: Any) -> tuple[int]:
        block = (ctypes.c_uint8 * nbytes)()
        self.held[ctypes.addressof(block)] = block
        return (ctypes.addressof(block),)

    _cudaHostAlloc = _cudaMalloc

    def _cudaFree(self, address: int) -> tuple[()]:
        if address:  # 0 only makes the context
            del self.held[address]
        return ()

    _cudaFreeHost = _cudaFree

    def _cudaStreamCreateWithFlags(self, _flags: int) -> tuple[int]:
        return (7,)

    def _cudaMemcpyAsync(self, target: int, source: int, nbytes: int, *_: Any) -> tuple[()]:
        self.start(lambda: ctypes.memmove(target, source, nbytes) and None)
        return ()

    def _cudaStreamBeginCapture(self, *_: Any) -> tuple[()]:
        self.recorded = []
        return ()

    def _cudaStreamEndCapture(self, _stream: int) -> tuple[Any]:
        graph, self.recorded = self.recorded, None
        return (graph,)

    def _cudaGraphInstantiate(self, graph: Any, _flags: int) -> tuple[Any]:
        return (graph,)

    def _cudaGraphLaunch(self, graph: Any, _stream: int) -> tuple[()]:
        for work in graph:
            work()
        return ()


class Context:
    """Finds one object over the whole image, as sure as the image is bright."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.addresses = runtime, dict.fromkeys((t.name for t in TENSORS), 0)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        self.runtime.start(self.run)
        return True

    def run(self) -> None:
        images, boxes, labels, scores, masks = (_array(self.addresses[t.name], t) for t in TENSORS)
        boxes[:], labels[:], masks[:] = (0, 0, SIZE[1], SIZE[0]), 1, 1
        scores[:] = [[images.mean() / 255, *[0] * (SLOTS - 1)]]


class DeserialisedEngine:
    """What TensorRT makes of an engine's bytes."""

    num_io_tensors = len(TENSORS)

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.tensors = runtime, {t.name: t for t in TENSORS}

    def get_tensor_name(self, place: int) -> str:
        return TENSORS[place].name

    def get_tensor_mode(self, name: str) -> bool:
        return self.tensors[name].is_input

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name].shape

    def get_tensor_dtype(self, name: str) -> str:
        return self.tensors[name].dtype

    def create_execution_context(self) -> Context:
        return Context(self.runtime)


def install(replace: Callable[[Any, str, Any], None], runtime: Runtime | None = None) -> Runtime:
    """Let engines run on the stand-ins; ``replace`` is ``monkeypatch.setattr``, or ``setattr`` in another process."""
    runtime = runtime or Runtime()
    loaded = SimpleNamespace(deserialize_cuda_engine=lambda data: DeserialisedEngine(runtime))
    module = SimpleNamespace(
        Runtime=lambda logger: loaded, TensorIOMode=SimpleNamespace(INPUT=True), nptype=lambda dtype: dtype
    )
    tensorrt = TensorRT("tensorrt", module, "10.3.0", SimpleNamespace(said=Messages()))
    replace(engine_session, "load", lambda flavour: tensorrt)
    replace(engine_session, "gpu_here", lambda: Gpu("a stand-in", "8.6", False, 1000))
    replace(engine_session, "load_cuda", lambda: Cuda(runtime))
    return runtime


def write_stand_in(path: Path) -> Path:
    """An engine file that the stand-ins take for the tiny detector's."""
    data = b"an engine"
    digest = hashlib.sha256(data).hexdigest()
    write_engine(
        Engine(path, META, "tensorrt", "10.3.0", ("8.6",), None, digest, "0" * 64, TENSORS, {}, 1.0, 0.1), data
    )
    return path


def _array(address: int, tensor: Tensor) -> np.ndarray:
    count = int(np.prod(tensor.shape)) * np.dtype(tensor.dtype).itemsize
    block = np.ctypeslib.as_array((ctypes.c_uint8 * count).from_address(address))
    return block.view(tensor.dtype).reshape(tensor.shape)

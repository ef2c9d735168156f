"""Running an engine, on a device of host memory: CUDA's and TensorRT's calls are stood in for, all between is real."""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgekit.data.images import graph_input
from edgekit.errors import EdgekitError
from edgekit.runtime.buffers import Slot
from edgekit.runtime.cuda import Cuda
from edgekit.runtime.engine_file import Tensor
from edgekit.runtime.engine_session import CAPTURED, EngineSession, Loaded
from edgekit.runtime.flavours import Messages
from tests.runtime.test_engine_file import written
from tests.tiny_detector import META, SIZE, SLOTS

Status = enum.Enum("Status", ["cudaSuccess", "cudaErrorMemoryAllocation", "cudaErrorStreamCaptureUnsupported"])
OUTPUTS = (
    Tensor("boxes", False, (1, SLOTS, 4), "float32"),
    Tensor("labels", False, (1, SLOTS), "int64"),
    Tensor("scores", False, (1, SLOTS), "float32"),
    Tensor("masks", False, (1, SLOTS, 28, 28), "float16"),
)
INPUTS = {
    "uint8": Tensor("images", True, (1, *SIZE, 3), "uint8"),
    "float": Tensor("images", True, (1, 3, *SIZE), "float32"),
}


class Device:
    """A device's memory and its one stream, as cuda-python's module; and TensorRT's context of an engine.

    The engine gives every score the mean of its input. ``fails`` names a call that has no memory, ``capturable`` says
    whether a graph can be recorded.
    """

    cudaError_t, cudaHostAllocDefault, cudaStreamNonBlocking = Status, 0, 1
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self, fails: str = "", capturable: bool = True) -> None:
        self.fails, self.capturable = fails, capturable
        self.held: dict[int, Any] = {}  # what was taken and not given back
        self.recorded: list[Callable[[], Any]] | None = None
        self.launches = 0
        self.addresses: dict[str, int] = {}
        self.seen: list[np.ndarray] = []
        self.tensors: tuple[Tensor, ...] = ()

    def __getattr__(self, name: str) -> Any:
        if name == self.fails:
            return lambda *_: (Status.cudaErrorMemoryAllocation,)
        if name in ("cudaHostAlloc", "cudaMalloc"):
            return lambda nbytes, *_: (Status.cudaSuccess, self._take(ctypes.create_string_buffer(nbytes)))
        if name in ("cudaStreamCreateWithFlags", "cudaGraphInstantiate"):
            return lambda *_: (Status.cudaSuccess, self._take(ctypes.create_string_buffer(1)))
        if name in ("cudaFreeHost", "cudaFree", "cudaStreamDestroy", "cudaGraphExecDestroy"):
            return lambda address: (Status.cudaSuccess, self.held.pop(address))[:1]
        return lambda *_: (Status.cudaSuccess,)

    def _take(self, memory: Any) -> int:
        self.held[ctypes.addressof(memory)] = memory
        return ctypes.addressof(memory)

    def cudaMemcpyAsync(self, target: int, source: int, nbytes: int, *_: Any) -> tuple[Status]:
        self._do(lambda: ctypes.memmove(target, source, nbytes))
        return (Status.cudaSuccess,)

    def cudaStreamBeginCapture(self, *_: Any) -> tuple[Status]:
        self.recorded = []
        return (Status.cudaSuccess,)

    def cudaStreamEndCapture(self, *_: Any) -> tuple[Any, ...]:
        self.graph, self.recorded = self.recorded, None
        return (Status.cudaSuccess, 1) if self.capturable else (Status.cudaErrorStreamCaptureUnsupported,)

    def cudaGraphLaunch(self, *_: Any) -> tuple[Status]:
        self.launches += 1
        for work in self.graph or ():
            work()
        return (Status.cudaSuccess,)

    def _do(self, work: Callable[[], Any]) -> None:
        if self.recorded is None:
            work()
        else:
            self.recorded.append(work)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream in self.held
        self._do(self._detect)
        return True

    def _detect(self) -> None:
        views = {t.name: self._view(t) for t in self.tensors}
        self.seen.append(views["images"].copy())
        for name, view in views.items():
            if name != "images":
                view[:] = views["images"].mean() if name == "scores" else 1

    def _view(self, tensor: Tensor) -> np.ndarray:
        slot = Slot(tensor, 0)
        memory = (ctypes.c_uint8 * slot.nbytes).from_address(self.addresses[tensor.name])
        return slot.view(np.ctypeslib.as_array(memory))


def session(device: Device, folder: Path, input_type: str = "uint8") -> EngineSession:
    tensors = (INPUTS[input_type], *OUTPUTS)
    engine = replace(written(folder / "x.engine"), meta=replace(META, input_type=input_type), tensors=tensors)
    device.tensors = tensors
    messages = lambda: nullcontext(Messages())  # noqa: E731
    tensorrt: Any = SimpleNamespace(module=SimpleNamespace(), title="TensorRT 10.13.3", messages=messages)
    deserialised = SimpleNamespace(create_execution_context=lambda: device)
    return EngineSession(Loaded(engine, tensorrt, Cuda(device), None, deserialised))


def photo(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)


@pytest.mark.parametrize("input_type", ["uint8", "float"])
def test_a_canvas_reaches_the_engine_and_its_outputs_come_back(input_type: str, tmp_path: Path) -> None:
    device = Device()
    with session(device, tmp_path, input_type) as running:
        assert (running.graph, running.runtime) == (CAPTURED, "TensorRT 10.13.3, CUDA graph")
        first, second = running.infer(photo(1)), running.infer(photo(2))
    assert device.launches == 2
    for found, seed in ((first, 1), (second, 2)):  # the first stayed what it was
        given = graph_input(photo(seed)[None], input_type)
        assert np.array_equal(device.seen[seed], given)  # 0 was the warm-up
        assert found.scores == pytest.approx(np.full(SLOTS, given.mean()), rel=1e-5)
    assert (first.masks.shape, first.masks.dtype, first.labels.dtype) == ((SLOTS, 28, 28), np.float32, np.int64)


def test_a_graph_that_cannot_be_recorded_is_said_and_run_call_by_call(tmp_path: Path) -> None:
    device = Device(capturable=False)
    with session(device, tmp_path) as running:
        assert running.graph.startswith("not captured: cudaStreamEndCapture")
        assert running.runtime == "TensorRT 10.13.3"
        running.infer(photo(1))
    assert device.launches == 0
    assert np.array_equal(device.seen[-1][0], photo(1))


def test_all_is_given_back(tmp_path: Path) -> None:
    device = Device()
    running = session(device, tmp_path)
    assert len(device.held) == 4  # the stream, memory on both sides, the graph
    running.close()
    assert not device.held
    with pytest.raises(RuntimeError, match="the session is closed"):
        running.infer(photo(1))


@pytest.mark.parametrize("call", ["cudaMalloc", "cudaHostAlloc", "cudaGraphInstantiate"])
def test_a_device_without_memory_keeps_nothing(call: str, tmp_path: Path) -> None:
    device = Device(fails=call)
    with pytest.raises(EdgekitError, match=r"the GPU's memory is full \(close other programs"):
        session(device, tmp_path)
    assert not device.held


def test_a_canvas_of_another_size(tmp_path: Path) -> None:
    words = r"takes uint8 \[8, 12, 3\], not uint8 \[12, 8, 3\]"
    with session(Device(), tmp_path) as running, pytest.raises(EdgekitError, match=words):
        running.infer(np.zeros((12, 8, 3), np.uint8))

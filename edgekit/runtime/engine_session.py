"""TensorRT engines on the GPU: pinned buffers and device memory taken once, a CUDA graph, a stream of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifacts.value_names import FOUND, IMAGES, MASKS
from edgekit.data.images import graph_input
from edgekit.errors import EdgekitError
from edgekit.runtime.buffers import check_detector, check_pixels, check_same, plan_buffers
from edgekit.runtime.cuda import Cuda, load_cuda
from edgekit.runtime.engine_file import AGAIN, Engine, Tensor, check_runs_on, read_engine
from edgekit.runtime.flavours import TensorRT, load
from edgekit.runtime.gpu import gpu_here
from edgekit.runtime.session import Outputs, Session

CAPTURED, OWN = "captured", "runtime's own"


@dataclass(frozen=True)
class Loaded:
    """A deserialised engine, which any number of sessions can run at the same time."""

    engine: Engine
    tensorrt: TensorRT
    cuda: Cuda
    runtime: Any  # must live as long as the engine
    deserialised: Any


class EngineSession(Session):
    """One execution context of an engine, with its own stream and memory; close it, or use it in a ``with``.

    What ``infer`` returns is copied out of the pinned memory, so it stays as it is. ``graph`` says how calls are
    launched: "captured" (by us), "runtime's own" (TensorRT-RTX), or why they are not.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.loaded, self.meta, self.cuda = loaded, loaded.engine.meta, loaded.cuda
        self.plan = plan_buffers(loaded.engine.tensors)
        self.views: dict[str, np.ndarray] = {}
        self.stream: Any = None
        self.host: Any = None
        self.device, self.launchable = 0, None
        self.context, self.graph = context_of(loaded)
        try:
            self._take_memory()
            self._warm_up()
        except BaseException:
            self.close()
            raise
        recorded = self.launchable is not None or self.graph == OWN
        self.runtime = loaded.tensorrt.title + (", CUDA graph" if recorded else "")
        self.tf32 = bool(loaded.engine.settings.get("tf32"))  # what TensorRT multiplies float32 as

    @classmethod
    def open(cls, path: Path) -> EngineSession:
        """Load an engine that its description vouches for."""
        return cls(load_engine(path))

    def twin(self) -> EngineSession:
        """Another session of the same engine, to run beside this one from another thread."""
        return EngineSession(self.loaded)

    def infer(self, pixels: np.ndarray) -> Outputs:
        """Run on one canvas: uint8 [H, W, 3]."""
        if self.context is None:
            raise RuntimeError(f"{self.loaded.engine.path}: the session is closed")
        check_pixels(pixels, self.meta.input_size, self.loaded.engine.path)
        np.copyto(self.views[IMAGES], graph_input(pixels[None], self.meta.input_type))
        if self.launchable is None:
            self.enqueue()
        else:
            self.cuda.call("cudaGraphLaunch", self.launchable, self.stream)
        self.cuda.call("cudaStreamSynchronize", self.stream)
        boxes, labels, scores = (self.views[n][0].copy() for n in FOUND)
        masks = self.views[MASKS][0] if MASKS in self.views else np.zeros((len(scores), 0, 0), np.float32)
        return Outputs(
            boxes.astype(np.float32, copy=False),
            labels.astype(np.int64, copy=False),
            scores.astype(np.float32, copy=False),
            masks.astype(np.float32),
        )

    def close(self) -> None:
        """Release the stream and the memory."""
        if self.stream is not None:
            self.cuda.call("cudaStreamSynchronize", self.stream)
        if self.launchable is not None:
            self.cuda.call("cudaGraphExecDestroy", self.launchable)
        self.context = None  # before the memory that it points to
        self.views = {}
        if self.device:
            self.cuda.call("cudaFree", self.device)
        if self.host is not None:
            self.cuda.free_pinned(self.host)
        if self.stream is not None:
            self.cuda.call("cudaStreamDestroy", self.stream)
        self.stream, self.host, self.device, self.launchable = None, None, 0, None

    def __enter__(self) -> EngineSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take_memory(self) -> None:
        """Take the stream and all memory there will ever be, and tell TensorRT where the tensors lie."""
        self.stream = self.cuda.stream()
        self.host = self.cuda.pinned(self.plan.nbytes)
        self.device = int(self.cuda.call("cudaMalloc", self.plan.nbytes))
        self.views = {s.tensor.name: s.view(self.host) for s in self.plan.slots}
        for slot in self.plan.slots:
            if not self.context.set_tensor_address(slot.tensor.name, self.device + slot.offset):
                raise RuntimeError(f"TensorRT takes no address for {slot.tensor.name}")

    def enqueue(self) -> None:
        """Start one image's copy in, inference and copy out."""
        inputs, outputs = self.plan.input_bytes, self.plan.nbytes - self.plan.input_bytes
        host = self.host.ctypes.data
        self.cuda.copy(self.device, host, inputs, True, self.stream)
        if not self.context.execute_async_v3(int(self.stream)):
            said = list(self.loaded.tensorrt.logger.said.errors)[-1:] or ["it gave no reason"]
            raise RuntimeError(f"{self.loaded.engine.path}: TensorRT could not run it: {said[0]}")
        self.cuda.copy(host + inputs, self.device + inputs, outputs, False, self.stream)

    def _warm_up(self) -> None:
        """Run once, which allocates what TensorRT allocates late, then record a CUDA graph where that is ours to do."""
        self.host[:] = 0
        self.enqueue()
        self.cuda.call("cudaStreamSynchronize", self.stream)
        if self.graph != CAPTURED:
            return
        self.cuda.begin_capture(self.stream)
        try:
            try:
                self.enqueue()
            finally:
                launchable = self.cuda.end_capture(self.stream)
            self.launchable = launchable
        except RuntimeError as error:  # an engine with a layer that synchronises
            self.graph = f"not captured: {error}"


def load_engine(path: Path, whole: bool = True) -> Loaded:
    """Deserialise an engine after its description, its SHA-256, TensorRT's version and the GPU have been checked.

    One that is not ``whole`` is a part of a detector.
    """
    engine, data = read_engine(path)
    if whole:
        check_detector(path, engine.meta, engine.tensors)
    tensorrt = load(engine.flavour)
    gpu = gpu_here()
    check_runs_on(engine, tensorrt.version, gpu.compute_capability)
    cuda = load_cuda()
    cuda.call("cudaFree", 0)  # makes the context, so that a broken driver is named before TensorRT meets it
    return deserialise(engine, data, tensorrt, cuda)


def deserialise(engine: Engine, data: bytes, tensorrt: TensorRT, cuda: Cuda) -> Loaded:
    """Turn bytes that ``read_engine`` returned into an engine, and compare it with its description."""
    with tensorrt.messages() as messages:
        runtime = tensorrt.module.Runtime(tensorrt.logger)
        if engine.settings.get("version_compatible") and hasattr(runtime, "engine_host_code_allowed"):
            runtime.engine_host_code_allowed = True  # such engines carry a small runtime; their SHA-256 is known
        deserialised = runtime.deserialize_cuda_engine(data)
    if deserialised is None:
        raise EdgekitError(f"{engine.path}: {tensorrt.title} cannot load it: {messages.reason()}", AGAIN)
    check_same(engine, _tensors(tensorrt.module, deserialised))
    return Loaded(engine, tensorrt, cuda, runtime, deserialised)


def _tensors(trt: Any, engine: Any) -> list[Tensor]:
    """A deserialised engine's inputs and outputs."""
    found = []
    for name in (engine.get_tensor_name(i) for i in range(engine.num_io_tensors)):
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        dtype = dtype_name(trt, engine.get_tensor_dtype(name))
        found.append(Tensor(name, is_input, tuple(engine.get_tensor_shape(name)), dtype))
    return found


def dtype_name(trt: Any, dtype: Any) -> str:
    """numpy's name of a TensorRT type, or TensorRT's own where numpy has none."""
    try:
        return str(np.dtype(trt.nptype(dtype)))
    except TypeError:
        return str(dtype.name).lower()


def context_of(loaded: Loaded) -> tuple[Any, str]:
    """An execution context and how its calls are to be launched."""
    trt, engine = loaded.tensorrt.module, loaded.deserialised
    with loaded.tensorrt.messages() as messages:
        if hasattr(trt, "CudaGraphStrategy") and hasattr(engine, "create_runtime_config"):
            # TensorRT-RTX compiles kernels while it runs, so only it knows when a call can be recorded.
            config = engine.create_runtime_config()
            config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            context, graph = engine.create_execution_context(config), OWN
        else:
            context, graph = engine.create_execution_context(), CAPTURED
    if context is None:
        raise EdgekitError(
            f"{loaded.engine.path}: TensorRT has no context for it: {messages.reason()}",
            "the GPU's memory may be full: close other programs",
        )
    return context, graph

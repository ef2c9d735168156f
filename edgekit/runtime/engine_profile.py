"""How long each layer of an engine takes, by TensorRT's IProfiler."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.data.images import graph_input
from edgekit.runtime.buffers import INPUT
from edgekit.runtime.engine_session import EngineSession


def layer_times(session: EngineSession, pixels: np.ndarray, calls: int) -> list[tuple[str, float]]:
    """(layer, ms) of ``calls`` runs on one canvas, uint8 [H, W, 3], layer after layer.

    Runs on a session of its own, since a profiler slows calls down and a recorded CUDA graph never asks it.
    """
    twin = session.twin()
    try:
        trt: Any = session.loaded.tensorrt.module
        times = collector(trt)
        np.copyto(twin.views[INPUT], graph_input(pixels[None], session.meta.input_type))
        twin.context.profiler = times
        for _ in range(calls):
            twin.enqueue()
            twin.cuda.call("cudaStreamSynchronize", twin.stream)
        return list(times.times)
    finally:
        twin.close()


def collector(trt: Any) -> Any:
    """A profiler that keeps what TensorRT reports in ``times``."""

    class Collector(trt.IProfiler):
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.times: list[tuple[str, float]] = []

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times.append((layer_name, float(ms)))

    return Collector()

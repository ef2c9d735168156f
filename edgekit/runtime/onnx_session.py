"""Runs ONNX files in onnxruntime."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifacts.onnx_files import OnnxFile, read_onnx
from edgekit.artifacts.value_names import FOUND, IMAGES, MASKS
from edgekit.data.images import graph_input
from edgekit.errors import EdgekitError
from edgekit.runtime.gpu import nvidia_device
from edgekit.runtime.ort_engines import kept_engines
from edgekit.runtime.recorded import Recorded
from edgekit.runtime.session import Outputs, Session

PROVIDERS = {  # by the name that --providers takes
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
INSTALL = "pip install onnxruntime-gpu; on a Jetson, from its own index (docs/jetson.md)"


class OnnxSession(Session):
    """An onnxruntime session, on CUDA where onnxruntime can use it, on the CPU elsewhere.

    ``model`` is a path, or a file that was read before and is not opened again. On CUDA its run is recorded as a CUDA
    graph where onnxruntime can do that (``recorded``); a trace needs every node. ``provider`` asks for one of PROVIDERS
    and raises where it does not run. ``threads`` is how many a node may use (0: onnxruntime's choice). ``trace`` begins
    the names of the files that ``end_profiling`` writes.
    """

    def __init__(self, model: Path | OnnxFile, provider: str = "", threads: int = 0, trace: str = "") -> None:
        if isinstance(model, OnnxFile):
            path, self.meta, source = model.path, model.meta, model.graph.SerializeToString()
        else:
            path, self.meta, source = model, read_onnx(model)[1], str(model)
        load = partial(open_ort, provider=provider, threads=threads, precision=self.meta.precision)
        try:
            self.session, self.recorded = _opened(load, source, trace)
        except EdgekitError:
            raise
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise EdgekitError(f"{path}: onnxruntime cannot load it: {error}", "export it again") from None
        self.batch = int(self.session.get_inputs()[0].shape[0])
        self.names = [output.name for output in self.session.get_outputs()]
        self.provider = _provider(self.session)
        self.runtime = f"onnxruntime {self.provider}"

    def infer_batch(self, images: np.ndarray) -> list[Outputs]:
        """Run on as many canvases as the graph takes: uint8 [N, H, W, 3]."""
        images = graph_input(images, self.meta.input_type)
        values = self._run(images) if self.recorded is None else self.recorded.run(images)
        boxes, labels, scores = (values[name].numpy() for name in FOUND)
        masks = values[MASKS].numpy() if MASKS in values else np.zeros((*scores.shape, 0, 0), np.float32)
        labels = labels.astype(np.int64, copy=False)
        return [Outputs(*rows) for rows in zip(boxes, labels, scores, masks, strict=True)]

    def end_profiling(self) -> list[Path]:
        """The trace of the graph."""
        return [Path(self.session.end_profiling())]

    def _run(self, images: np.ndarray) -> dict[str, Any]:
        """One run; the detections on the host."""
        binding = self.session.io_binding()
        binding.bind_cpu_input(IMAGES, np.ascontiguousarray(images))
        for name in self.names:
            binding.bind_output(name)
        self.session.run_with_iobinding(binding)
        return dict(zip(self.names, binding.get_outputs(), strict=True))


def open_ort(
    model: str | bytes,
    provider: str = "",
    optimised: bool = True,
    threads: int = 0,
    trace: str = "",
    precision: str = "fp32",
    by_turns: bool = False,
    record: bool = False,
) -> Any:
    """An onnxruntime session of a file's path or a serialised model.

    ``provider`` is one of PROVIDERS; "" takes CUDA where onnxruntime can use it, else the CPU. ``optimised`` False
    leaves out all but the basic changes to the graph. ``precision`` is the graph's own. ``by_turns`` is for sessions
    that run one after another: their threads rest at once after a run, where they would go on spinning. ``record``
    makes a session on CUDA one for ``Recorded`` alone. Raises EdgekitError if an asked provider is not what runs it.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise EdgekitError(f"onnxruntime is not installed: {error}", INSTALL) from None

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    if trace:
        options.enable_profiling, options.profile_file_prefix = True, trace
    if by_turns:
        options.add_session_config_entry("session.force_spinning_stop", "1")
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    chosen = [(name, _settings(name, precision)) for name in _providers(ort, provider)]
    first, settings = chosen[0]
    if record and first == PROVIDERS["cuda"]:
        settings["enable_cuda_graph"] = "1"
    with contextlib.ExitStack() as stack:
        # It prints what it does not find and why a provider cannot be had, and --json owns stdout.
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        if first != PROVIDERS["cpu"]:
            if hasattr(ort, "preload_dlls"):  # since 1.21; the CUDA provider does not look into NVIDIA's wheels
                ort.preload_dlls()
            ort.set_default_logger_severity(4)  # it logs what cuDNN cannot do, then does it in another way
        if first == PROVIDERS["tensorrt"]:
            engines = kept_engines(model, f"onnxruntime {ort.__version__} {precision}")
            settings["trt_engine_cache_path"] = str(stack.enter_context(engines))
        session = ort.InferenceSession(model, options, providers=chosen)
    if provider and session.get_providers()[0] != first:
        used = session.get_providers()[0]
        raise EdgekitError(f"onnxruntime cannot use {first} here and took {used}", "edgekit doctor says why")
    return session


def ort_version() -> str:
    """The version of onnxruntime, whichever of its packages is installed."""
    import onnxruntime as ort

    return str(ort.__version__)


def _providers(ort: Any, asked: str) -> list[str]:
    """The providers to try, the preferred one first; raises EdgekitError where the asked one cannot be had."""
    there = ort.get_available_providers()
    if asked and PROVIDERS[asked] not in there:
        raise EdgekitError(f"the onnxruntime here has no {PROVIDERS[asked]}", INSTALL)
    driver = nvidia_device()  # onnxruntime logs an error where there is none
    if asked in ("cuda", "tensorrt") and not driver:
        raise EdgekitError(f"{PROVIDERS[asked]} needs an NVIDIA GPU, and there is none", "edgekit doctor says more")
    wanted = {"": ["cuda"] * driver + ["cpu"], "tensorrt": ["tensorrt", "cuda", "cpu"], "cuda": ["cuda", "cpu"]}
    names = [PROVIDERS[name] for name in wanted.get(asked, [asked])]
    return [name for name in names if name in there]


def _opened(load: Callable[..., Any], source: str | bytes, trace: str) -> tuple[Any, Recorded | None]:
    """A session of a file (its path or bytes), with its run recorded if it is on CUDA and onnxruntime can record it.

    It cannot where a node runs on the CPU, as in graphs made by others.
    """
    if trace:
        return load(source, trace=trace), None
    try:
        session = load(source, record=True)
        return session, Recorded(session, "cuda") if _provider(session) == "cuda" else None
    except EdgekitError:
        raise
    except Exception:  # onnxruntime's own exceptions share no public base class; one that is not this one's comes again
        return load(source), None


def _provider(session: Any) -> str:
    """What runs a session, by the name that ``--providers`` takes."""
    return str(session.get_providers()[0].removesuffix("ExecutionProvider").lower())


def _settings(provider: str, precision: str) -> dict[str, Any]:
    """On CUDA float32 is float32, not TF32, which has half precision's mantissa, and algorithms are chosen by
    rule, since a timed choice may differ between two sessions, and their results with it.

    TensorRT may use the precision that the graph has; its engines are kept (see ``kept_engines``).
    """
    if provider == PROVIDERS["cuda"]:
        return {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    if provider != PROVIDERS["tensorrt"]:
        return {}
    return {
        "trt_engine_cache_enable": True,
        "trt_fp16_enable": precision != "fp32",
        "trt_int8_enable": precision == "int8",
    }

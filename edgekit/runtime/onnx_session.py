"""ONNX files in onnxruntime."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import read_onnx
from edgekit.artifacts.value_names import IMAGES, OUTPUTS
from edgekit.data.images import graph_input
from edgekit.errors import EdgekitError
from edgekit.runtime.gpu import nvidia_device
from edgekit.runtime.mask_graphs import MaskGraphs
from edgekit.runtime.ort_engines import kept_engines
from edgekit.runtime.recorded import Recorded
from edgekit.runtime.session import Outputs

PROVIDERS = {  # by the name that --providers takes
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


class OnnxSession:
    """An onnxruntime session, on CUDA where onnxruntime can use it, on the CPU elsewhere.

    On CUDA its run is recorded as a CUDA graph where onnxruntime can do that (``recorded``); a trace needs every node.
    ``provider`` asks for one of PROVIDERS and raises where it does not run. ``threads`` is how many a node may use (0:
    onnxruntime's choice). ``trace`` begins the names of the files that ``end_profiling`` writes.
    """

    def __init__(self, path: Path, provider: str = "", threads: int = 0, trace: str = "") -> None:
        _, meta = read_onnx(path)
        self.path, self.provider = path, provider
        apart = bool(meta.mask_files)
        load = partial(open_ort, provider=provider, threads=threads, precision=meta.precision, by_turns=apart)
        try:
            self.session, self.recorded = _opened(load, path, trace)
        except EdgekitError:
            raise
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise EdgekitError(f"{path}: onnxruntime cannot load it: {error}", "export it again") from None
        self.meta: ModelMeta = meta
        given = {o.name for o in self.session.get_outputs()}
        self.outputs = [n for n in OUTPUTS if n in given]
        self.features = sorted(given - set(OUTPUTS)) if apart else []  # what the mask graphs read
        own = partial(_traced, load, trace)  # a name of its own: onnxruntime's has only seconds in it
        self.masks = MaskGraphs(path, meta, own) if apart else None
        self.batch = int(
            self.session.get_inputs()[0].shape[0]
        )  # canvases per run; ``infer`` leaves all but the first empty
        self.runtime = f"onnxruntime {_provider(self.session)}"

    def infer(self, pixels: np.ndarray) -> Outputs:
        """Run on one canvas: uint8 [H, W, 3]."""
        images = pixels[None]
        if self.batch > 1:
            images = np.concatenate([images, np.zeros((self.batch - 1, *pixels.shape), np.uint8)])
        return self.infer_batch(images)[0]

    def infer_batch(self, images: np.ndarray) -> list[Outputs]:
        """Run on as many canvases as the graph takes: uint8 [N, H, W, 3]."""
        images = graph_input(images, self.meta.input_type)
        if self.masks is not None:  # such a graph takes one
            return [self._infer_found(images, self.masks)]
        boxes, labels, scores, *masks = self._run(images)
        labels = labels.astype(np.int64, copy=False)
        filled = masks[0] if masks else np.zeros((*scores.shape, 0, 0), np.float32)
        return [Outputs(*rows) for rows in zip(boxes, labels, scores, filled, strict=True)]

    def close(self) -> None:
        """Nothing to give back: onnxruntime frees memory with its sessions."""

    def end_profiling(self) -> list[Path]:
        """The traces of the graph and of those of its mask graphs that ran."""
        sessions = [self.session, *(self.masks.sessions.values() if self.masks is not None else ())]
        return [Path(session.end_profiling()) for session in sessions]

    def _run(self, images: np.ndarray) -> list[np.ndarray]:
        if self.recorded is None:
            return list(self.session.run(self.outputs, {IMAGES: images}))
        values = self.recorded.run(images)
        return [values[name].numpy() for name in self.outputs]

    def _infer_found(self, images: np.ndarray, masks: MaskGraphs) -> Outputs:
        """Run the detector, then the mask graphs; the features between them stay where the detector left them."""
        values = self._bound(images) if self.recorded is None else self.recorded.run(images)
        boxes, labels, scores = (values[name].numpy()[0] for name in self.outputs)
        features = {name: values[name] for name in self.features}
        return Outputs(boxes, labels, scores, masks.of(features, boxes, labels, scores))

    def _bound(self, images: np.ndarray) -> dict[str, Any]:
        """One run; the values by name, as onnxruntime holds them."""
        binding = self.session.io_binding()
        binding.bind_cpu_input(IMAGES, images)
        for name in self.outputs:
            binding.bind_output(name)
        for name in self.features:
            binding.bind_output(name, "cuda" if self.runtime.endswith("cuda") else "cpu")
        self.session.run_with_iobinding(binding)
        return dict(zip([*self.outputs, *self.features], binding.get_outputs(), strict=True))


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
        remedy = "pip install onnxruntime-gpu; on a Jetson, from its own index (docs/jetson.md)"
        raise EdgekitError(f"onnxruntime is not installed: {error}", remedy) from None

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    if trace:
        options.enable_profiling, options.profile_file_prefix = True, trace
    if by_turns:
        options.add_session_config_entry("session.force_spinning_stop", "1")
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    there = ort.get_available_providers()
    if provider and PROVIDERS[provider] not in there:
        raise EdgekitError(
            f"the onnxruntime here has no {PROVIDERS[provider]}",
            "pip install onnxruntime-gpu; on a Jetson, from its own index (docs/jetson.md)",
        )
    # CUDA only where there is a driver, since onnxruntime logs an error otherwise.
    driver = nvidia_device()
    if provider in ("cuda", "tensorrt") and not driver:
        raise EdgekitError(f"{PROVIDERS[provider]} needs an NVIDIA GPU, and there is none", "edgekit doctor says more")
    wanted = {"": ["cuda"] * driver + ["cpu"], "tensorrt": ["tensorrt", "cuda", "cpu"], "cuda": ["cuda", "cpu"]}
    names = [PROVIDERS[name] for name in wanted.get(provider, [provider])]
    chosen = [(name, _settings(name, precision)) for name in names if name in there]
    if record and chosen[0][0] == PROVIDERS["cuda"]:
        chosen[0][1]["enable_cuda_graph"] = "1"
    if any(name != PROVIDERS["cpu"] for name, _ in chosen):
        preload(ort)
        ort.set_default_logger_severity(4)  # it logs what cuDNN cannot do, then does it in another way
    with contextlib.ExitStack() as stack:
        if chosen[0][0] == PROVIDERS["tensorrt"]:
            engines = kept_engines(model, f"onnxruntime {ort.__version__} {precision}")
            chosen[0][1]["trt_engine_cache_path"] = str(stack.enter_context(engines))
        # It prints why a provider cannot be had, and --json owns stdout.
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        session = ort.InferenceSession(model, options, providers=chosen)
    used = session.get_providers()[0]
    if provider and used != PROVIDERS[provider]:
        raise EdgekitError(
            f"onnxruntime cannot use {PROVIDERS[provider]} here: it took {used}", "edgekit doctor says why"
        )
    return session


def ort_version() -> str:
    """The version of onnxruntime, whichever of its packages is installed."""
    import onnxruntime as ort

    return str(ort.__version__)


def _opened(load: Callable[..., Any], path: Path, trace: str) -> tuple[Any, Recorded | None]:
    """A session of a file, with its run recorded if it is on CUDA and onnxruntime can record it.

    It cannot where a node runs on the CPU, as in graphs made by others.
    """
    if trace:
        return load(str(path), trace=trace), None
    try:
        session = load(str(path), record=True)
        return session, Recorded(session, "cuda") if _provider(session) == "cuda" else None
    except EdgekitError:
        raise
    except Exception:  # onnxruntime's own exceptions share no public base class; one that is not this one's comes again
        return load(str(path)), None


def _provider(session: Any) -> str:
    """What runs a session, by the name that ``--providers`` takes."""
    return str(session.get_providers()[0].removesuffix("ExecutionProvider").lower())


def _traced(load: Callable[..., Any], trace: str, model: str) -> Any:
    return load(model, trace=f"{trace}-{Path(model).stem}" if trace else "")


def preload(ort: Any) -> None:
    """Load CUDA and cuDNN out of NVIDIA's wheels where they are: the CUDA provider does not look there."""
    if not hasattr(ort, "preload_dlls"):  # before 1.21
        return
    with contextlib.redirect_stdout(sys.stderr):  # it prints what it does not find, and --json owns stdout
        ort.preload_dlls()


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

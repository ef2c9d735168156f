"""ONNX to TensorRT engine: on the device, or ahead of time on a machine without a GPU. The ONNX sets the precision."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import read_onnx
from edgekit.deployment.edits.suppression import counts_in_half
from edgekit.deployment.tensorrt.build_options import (
    LEAST_WORKSPACE_MB,
    EngineOptions,
    check_options,
    configure,
    set_workspace,
    workspace_for,
)
from edgekit.deployment.tensorrt.build_progress import Phases, monitor, watched
from edgekit.deployment.tensorrt.network import network_tensors, parse
from edgekit.deployment.tensorrt.target import Target, choose_target
from edgekit.deployment.tensorrt.timing_cache import kept_timings
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from edgekit.progress import Track, silent
from edgekit.runtime.buffers import check_detector
from edgekit.runtime.engine_file import SUFFIX, Engine, write_engine
from edgekit.runtime.flavours import Messages

TURING, NO_FLOAT_PRODUCT = "7.5", "FP32 GEMM is not supported"
NO_MEMORY = re.compile(r"out ?of ?memory|MemoryAllocation|insuff?icient memory|memory is insufficient", re.I)
# TensorRT says the first for several reasons, and adds the second where the workspace is what does not suffice.
NO_IMPLEMENTATION, LITTLE_WORKSPACE = "Could not find any implementation", "insufficient workspace"


def build(onnx_path: Path, output: Path, options: EngineOptions = EngineOptions(), track: Track = silent) -> Engine:
    """Compile an exported graph to ``output`` (.engine) with its description beside it.

    It has the graph's precision, whatever ``options.trt`` says. Less workspace is tried where it does not suffice. A
    failed or interrupted build leaves what is at ``output``.
    """
    if output.suffix.lower() != SUFFIX:
        raise EdgekitError(f"{output}: not a name for an engine", f"end it in {SUFFIX}")
    graph, meta = read_onnx(onnx_path)
    return _build(graph, onnx_path, output, meta, options, track)


def build_part(
    onnx_path: Path, output: Path, meta: ModelMeta, options: EngineOptions = EngineOptions(), track: Track = silent
) -> Engine:
    """Compile one graph of a model in parts, which ``meta`` describes, as ``build`` does a whole one."""
    return _build(onnx.load(onnx_path), onnx_path, output, meta, options, track, whole=False)


def _build(
    graph: onnx.ModelProto,
    onnx_path: Path,
    output: Path,
    meta: ModelMeta,
    options: EngineOptions,
    track: Track,
    whole: bool = True,
) -> Engine:
    started = time.monotonic()
    target = choose_target(options.compute_capability)
    check_options(options, target)
    tensorrt = target.tensorrt
    halved = counts_in_half(graph) if tensorrt.flavour == "rtx" and TURING in target.compute_capabilities else 0
    builder = tensorrt.module.Builder(tensorrt.logger)
    network, parser = parse(tensorrt, builder, graph.SerializeToString(), onnx_path)
    del graph
    tensors = network_tensors(tensorrt.module, network)
    if whole:
        check_detector(onnx_path, meta, tensors)
    config = builder.create_builder_config()
    settings = {**configure(config, options, target), "nms_products_in_half": halved, "layers": network.num_layers}
    with kept_timings(config, options.timing_cache, target):
        data, allowed = _compile(builder, network, config, options, target, onnx_path, track)
    engine = Engine(
        path=output.absolute(),
        meta=meta,
        flavour=tensorrt.flavour,
        version=tensorrt.version,
        compute_capabilities=target.compute_capabilities,
        gpu=None if settings["ahead_of_time"] or target.gpu is None else target.gpu.name,
        sha256=hashlib.sha256(data).hexdigest(),
        onnx_sha256=sha256(onnx_path),
        tensors=tensors,
        settings={**settings, "workspace_mb": allowed},
        seconds=round(time.monotonic() - started, 2),
        megabytes=round(len(data) / 1e6, 3),
    )
    del parser  # it owned the weights until here
    write_engine(engine, data)
    return engine


def _compile(
    builder: Any, network: Any, config: Any, options: EngineOptions, target: Target, onnx_path: Path, track: Track
) -> tuple[memoryview, int | None]:
    """A network's engine, and the workspace in MB that it was built within."""
    trt, title = target.tensorrt.module, target.tensorrt.title
    description = f"{title} compiles for {', '.join(target.compute_capabilities)}"
    said: list[Messages] = []

    def attempt(workspace_mb: int | None) -> Any:
        if workspace_mb is not None:
            set_workspace(config, trt, workspace_mb)
        phases = Phases()
        if watcher := monitor(trt, phases):
            config.progress_monitor = watcher
        with target.tensorrt.messages() as messages:
            said.append(messages)
            return watched(lambda: builder.build_serialized_network(network, config), phases, track, description)

    built, allowed = with_less_workspace(attempt, workspace_for(options, target), said)
    if built is None:
        raise EdgekitError(f"{onnx_path}: {title} cannot build it: {said[-1].reason()}", remedy(said[-1]))
    return memoryview(built), allowed


def with_less_workspace(
    attempt: Callable[[int | None], Any], workspace_mb: int | None, said: Sequence[Messages]
) -> tuple[Any, int | None]:
    """Call ``attempt`` with ever less workspace while the last of ``said`` complains of memory."""
    built = attempt(workspace_mb)
    while built is None and workspace_mb is not None and out_of_memory(said[-1]):
        if workspace_mb // 2 < LEAST_WORKSPACE_MB:
            break
        workspace_mb //= 2
        built = attempt(workspace_mb)
    return built, workspace_mb


def remedy(messages: Messages) -> str:
    """What to do about a failed build."""
    if out_of_memory(messages):
        return "free memory: close other programs, add swap, or export with a smaller --size"
    if any(NO_IMPLEMENTATION in error for error in messages.errors):
        return "give the builder more: a larger --workspace-mb, or free memory; if it has enough, please report this"
    if any(NO_FLOAT_PRODUCT in error for error in messages.errors):
        return f"for compute capability {TURING} build with --trt fp16"
    return "please report this with the model's architecture"


def out_of_memory(messages: Messages) -> bool:
    """Whether a builder failed for want of memory, so that less workspace may help.

    Where it found nothing to run a node by, its warnings say whether memory was why.
    """
    if any(LITTLE_WORKSPACE in error for error in messages.errors):
        return False
    without = any(NO_IMPLEMENTATION in error for error in messages.errors)
    said = [*messages.errors, *(messages.warnings if without else ())]
    return any(NO_MEMORY.search(text) for text in said)

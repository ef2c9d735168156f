"""Checkpoint to ONNX (a static graph without plugins, compared with PyTorch before it is written) or torchvision."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from edgekit.artifacts import ModelMeta, atomic_path, resolve, sha256, tool_versions, write_onnx
from edgekit.data.images import SAMPLE_PHOTOS, list_images, read_image
from edgekit.deployment.graph import StaticRCNN
from edgekit.deployment.static_onnx import INNER, OUTPUTS, name_parameters, static_onnx
from edgekit.deployment.torchvision_export import write_state
from edgekit.errors import EdgekitError
from edgekit.measurement.compare import Parity, parity
from edgekit.model.checkpoint import load_model
from edgekit.model.generations import GenerationalRCNN
from edgekit.progress import Track, silent
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.selection import Selected
from edgekit.runtime.session import detect
from edgekit.runtime.torch_session import TorchSession

if TYPE_CHECKING:
    import onnx

SUFFIXES = {"onnx": (".onnx",), "torchvision": (".pth", ".pt", ".safetensors")}
LEAST_MATCHED = 0.99  # share of PyTorch's detections above 0.3 that the graph must find again


@dataclasses.dataclass(frozen=True)
class Export:
    """What was written; ``nodes`` to ``parity`` (with PyTorch) are of an ONNX graph and empty for other formats."""

    output: Path
    format: str
    input_size: tuple[int, int]
    nodes: int
    node_kinds: dict[str, int]
    parity: Parity | None
    seconds: float
    megabytes: float
    notes: tuple[str, ...] = ()  # what to know to use the file


def export(
    model: str | Path,
    output: Path,
    size: tuple[int, int] | None = None,
    format: str = "onnx",
    generations: int | None = None,
    best_only: bool = False,
    track: Track = silent,
) -> Export:
    """Write a checkpoint as a static ONNX graph (fp32), or as a state dict that plain torchvision loads.

    ``size`` is the input's (height, width), the model's own by default. ``format`` is "onnx" or "torchvision" (.pth or
    .safetensors; one softmax over all classes). ``generations`` leaves out what later adaptations added; ``best_only``
    has the graph drop detections that a better-scored one of another generation covers. The graph is run in
    onnxruntime on real photos first; raises EdgekitError, and writes nothing, if its detections differ from PyTorch's.
    """
    if format not in SUFFIXES:
        raise EdgekitError(f"--format {format}: unknown", f"give one of: {', '.join(SUFFIXES)}")
    if output.suffix.lower() not in SUFFIXES[format]:
        raise EdgekitError(f"{output}: not a name for this format", f"end it in {' or '.join(SUFFIXES[format])}")
    started = time.monotonic()
    path, output = resolve(model), output.absolute()
    module, meta = load_model(model, generations, size=size)
    if format == "torchvision":
        if size is not None or best_only:
            raise EdgekitError("--format torchvision: holds weights only", "leave --size and --best-only")
        notes = write_state(output, module, meta)
        result = Export(output, format, meta.input_size, 0, {}, None, 0.0, 0.0, notes)
    else:
        meta = dataclasses.replace(
            meta, precision="fp32", best_only=best_only, parent_sha256=sha256(path), versions=tool_versions()
        )
        graph, agreement = _write_onnx(output, module, meta, track)
        kinds = dict(sorted(Counter(n.op_type for n in graph.graph.node).items()))
        result = Export(output, format, meta.input_size, sum(kinds.values()), kinds, agreement, 0.0, 0.0)
    seconds = round(time.monotonic() - started, 2)
    return dataclasses.replace(result, seconds=seconds, megabytes=output.stat().st_size / 1e6)


def _write_onnx(
    output: Path, module: GenerationalRCNN, meta: ModelMeta, track: Track
) -> tuple[onnx.ModelProto, Parity]:
    """Write a module's graph if its detections are PyTorch's."""
    for _ in track(range(1), "building the static graph"):
        graph = to_onnx(module, meta.input_size, meta.best_only)
    with atomic_path(output) as temporary:
        write_onnx(temporary, graph, meta)
        agreement = verify(temporary, module, meta, track)
        if agreement.matched_share < LEAST_MATCHED:
            raise EdgekitError(
                f"{output}: the graph's detections differ from PyTorch's: {agreement.matched} of {agreement.compared} "
                f"above score {agreement.min_score} matched, "
                f"largest score difference {agreement.largest_score_difference:.2g}",
                "nothing was written; please report this with the model's architecture",
            )
    return graph, agreement


def to_onnx(module: GenerationalRCNN, size: tuple[int, int], best_only: bool = False) -> onnx.ModelProto:
    """The static graph of a module for canvases of ``size``; raises if it holds what TensorRT cannot run.

    The values that a later generation builds on (``INNER``) have these names in it, but are no outputs.
    """
    names = OUTPUTS if module.has_masks else OUTPUTS[:3]
    canvas = torch.zeros(1, *size, 3, dtype=torch.uint8)
    static = StaticRCNN(module, size, best_only)
    graph = static_onnx(static, (canvas,), ["images"], [*names, *INNER])
    name_parameters(graph, static)
    inner = [v for v in graph.graph.output if v.name in INNER]
    for value in inner:
        graph.graph.output.remove(value)
    graph.graph.value_info.extend(inner)
    return graph


def verify(path: Path, module: GenerationalRCNN, meta: ModelMeta, track: Track = silent) -> Parity:
    """Compare an ONNX file with the module it came from, on the photos that come with edgekit."""
    reference, exported = Selected(TorchSession(module, meta), meta, meta.best_only), OnnxSession(path)
    photos = [read_image(p) for p in list_images(SAMPLE_PHOTOS)]
    return parity((detect(reference, p), detect(exported, p)) for p in track(photos, "comparing with PyTorch"))

"""Checkpoint to ONNX: one static graph without plugins, compared with PyTorch before it is written."""

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
from edgekit.deployment.static_onnx import name_parameters, static_onnx
from edgekit.errors import EdgekitError
from edgekit.measurement.compare import Parity, parity
from edgekit.model.checkpoint import load_model
from edgekit.model.generations import GenerationalRCNN
from edgekit.progress import Track, silent
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.session import detect
from edgekit.runtime.torch_session import TorchSession

if TYPE_CHECKING:
    import onnx

OUTPUTS = ("boxes", "labels", "scores", "masks")
INNER = ("trunk.table", "trunk.proposals", "trunk.proposed", "trunk.box_features", "predictors.logits")
LEAST_MATCHED = 0.99  # share of PyTorch's detections above 0.3 that the graph must find again


@dataclasses.dataclass(frozen=True)
class Export:
    """What was exported, how well it agrees with PyTorch, and how long that took."""

    output: Path
    input_size: tuple[int, int]
    nodes: int
    node_kinds: dict[str, int]
    parity: Parity
    seconds: float
    megabytes: float


def export(model: str | Path, output: Path, size: tuple[int, int] | None = None, track: Track = silent) -> Export:
    """Write a checkpoint's static ONNX graph (fp32) to ``output``.

    ``size`` is the input's (height, width), the model's own by default. The graph is run in onnxruntime on real
    photos first; raises EdgekitError, and writes nothing, if its detections differ from PyTorch's.
    """
    started = time.monotonic()
    path = resolve(model)
    module, meta = load_model(path)
    size = size or meta.input_size
    _check_size(size)
    output = output.absolute()
    for _ in track(range(1), "building the static graph"):
        graph = to_onnx(module, size)
    meta = dataclasses.replace(
        meta, input_size=size, precision="fp32", parent_sha256=sha256(path), versions=tool_versions()
    )
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
    kinds = dict(sorted(Counter(n.op_type for n in graph.graph.node).items()))
    seconds = round(time.monotonic() - started, 2)
    return Export(output, size, sum(kinds.values()), kinds, agreement, seconds, output.stat().st_size / 1e6)


def to_onnx(module: GenerationalRCNN, size: tuple[int, int]) -> onnx.ModelProto:
    """The static graph of a module for canvases of ``size``; raises if it holds what TensorRT cannot run.

    The values that a later generation builds on (``INNER``) have these names in it, but are no outputs.
    """
    names = OUTPUTS if module.has_masks else OUTPUTS[:3]
    canvas = torch.zeros(1, *size, 3, dtype=torch.uint8)
    static = StaticRCNN(module, size)
    graph = static_onnx(static, (canvas,), ["images"], [*names, *INNER])
    name_parameters(graph, static)
    inner = [v for v in graph.graph.output if v.name in INNER]
    for value in inner:
        graph.graph.output.remove(value)
    graph.graph.value_info.extend(inner)
    return graph


def verify(path: Path, module: GenerationalRCNN, meta: ModelMeta, track: Track = silent) -> Parity:
    """Compare an ONNX file with the module it came from, on the photos that come with edgekit."""
    reference, exported = TorchSession(module, meta), OnnxSession(path)
    photos = [read_image(p) for p in list_images(SAMPLE_PHOTOS)]
    return parity((detect(reference, p), detect(exported, p)) for p in track(photos, "comparing with PyTorch"))


def _check_size(size: tuple[int, int]) -> None:
    if min(size) < 64 or any(s % 32 for s in size):
        raise EdgekitError(
            f"size {size[0]}x{size[1]}: not a size the FPN can take", "give multiples of 32, at least 64x64"
        )

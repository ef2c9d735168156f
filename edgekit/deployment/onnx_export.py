"""Checkpoint to ONNX (a static graph without plugins, compared with PyTorch before it is written) or torchvision."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.artifacts import ModelMeta, atomic_path, resolve, sha256, tool_versions, write_onnx
from edgekit.data.images import SAMPLE_PHOTOS, list_images, read_image
from edgekit.deployment import reserve
from edgekit.deployment.assembly import assemble, to_onnx
from edgekit.deployment.graph import Shape
from edgekit.deployment.torchvision_export import write_state
from edgekit.errors import EdgekitError
from edgekit.measurement.compare import Parity, parity
from edgekit.model.architectures import check_size
from edgekit.model.checkpoint import load_model, read_checkpoint
from edgekit.model.generations import GenerationalRCNN
from edgekit.progress import Track, silent
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.selection import Selected
from edgekit.runtime.session import detect
from edgekit.runtime.torch_session import TorchSession

if TYPE_CHECKING:
    import onnx

SUFFIXES = {"onnx": (".onnx",), "torchvision": (".pth", ".pt", ".safetensors")}
MOST_BATCH = 64
TOP_K = 3840  # the most that TensorRT's TopK takes
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
    graph_seconds: float  # until the graph stood, before it was compared
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
    batch: int = 1,
    proposals: int | None = None,
    detections: int | None = None,
    reserve_classes: int = 0,
    into: Path | None = None,
    verify: Path | None = None,
    no_verify: bool = False,
    track: Track = silent,
) -> Export:
    """Write a checkpoint as a static ONNX graph, or as a state dict that plain torchvision loads.

    ``size`` is the input's (height, width), the model's own by default; ``batch`` how many canvases a run takes;
    ``proposals`` and ``detections`` (of each generation) are the model's own numbers by default. ``format`` is "onnx"
    or "torchvision" (.pth or .safetensors; one softmax over all classes). ``generations`` leaves out what later
    adaptations added; ``best_only`` has the graph drop detections that a better one of another generation covers.
    ``reserve_classes`` leaves room for so many classes, which ``into``, a graph with such room, gives to the model's
    newest ones: only weights differ then. The graph is run in onnxruntime on real photos first (those of the folder
    ``verify``, or some that come with edgekit); raises EdgekitError, and writes nothing, if its detections differ from
    PyTorch's, unless ``no_verify``.
    """
    if format not in SUFFIXES:
        raise EdgekitError(f"--format {format}: unknown", f"give one of: {', '.join(SUFFIXES)}")
    if output.suffix.lower() not in SUFFIXES[format]:
        raise EdgekitError(f"{output}: not a name for this format", f"end it in {' or '.join(SUFFIXES[format])}")
    started = time.monotonic()
    output = output.absolute()
    if format == "torchvision":
        if size is not None or best_only or batch != 1 or proposals or detections or reserve_classes or into:
            raise EdgekitError("--format torchvision: holds weights only", "leave the options of the graph")
        module, meta = load_model(model, generations)
        notes = write_state(output, module, meta)
        result = Export(output, format, meta.input_size, 0, {}, None, 0.0, 0.0, 0.0, notes)
    else:
        shape = Shape(check_size(size or read_checkpoint(model)[1].input_size), batch, proposals, detections)
        check(shape)
        notes = ()
        if into is not None:
            if generations is not None or best_only or reserve_classes or shape != Shape(shape.size):
                raise EdgekitError("--into: takes the graph as it is", "leave the options of the graph")
            graph, meta, changed = reserve.into(model, into)
            notes = (f"{len(changed)} weights differ from {into}: a refittable engine takes them without a rebuild",)
        else:
            graph, meta = graph_of(model, shape, generations, best_only, reserve_classes, track)
        meta = dataclasses.replace(
            meta, precision="fp32", parent_sha256=sha256(resolve(model)), versions=tool_versions()
        )
        built = time.monotonic() - started
        with atomic_path(output) as temporary:
            write_onnx(temporary, graph, meta)
            agreement = None if no_verify else verified(temporary, output, model, meta, shape, verify, track)
        kinds = dict(sorted(Counter(n.op_type for n in graph.graph.node).items()))
        result = Export(
            output, format, meta.input_size, sum(kinds.values()), kinds, agreement, round(built, 2), 0.0, 0.0, notes
        )
    seconds = round(time.monotonic() - started, 2)
    return dataclasses.replace(result, seconds=seconds, megabytes=output.stat().st_size / 1e6)


def graph_of(
    model: str | Path, shape: Shape, generations: int | None, best_only: bool, reserve_classes: int, track: Track
) -> tuple[onnx.ModelProto, ModelMeta]:
    """A checkpoint's graph: put together from the base model's and the generations where the shape allows it."""
    if shape.batch == 1 and not best_only:
        graph, meta = assemble(model, shape, generations, track)
        if reserve_classes:
            meta = reserve.reserve(graph, meta, reserve_classes, resolve(model))
        return graph, meta
    if reserve_classes:
        raise EdgekitError(
            "--reserve-classes: goes with one canvas a run and all detections", "leave --best-only, --batch"
        )
    module, meta = load_model(model, generations, size=shape.size)
    for _ in track(range(1), "building the static graph"):
        graph = to_onnx(module, shape, best_only)
    return graph, dataclasses.replace(meta, best_only=best_only)


def check(shape: Shape) -> None:
    """Raise for numbers that a graph cannot have."""
    if not 1 <= shape.batch <= MOST_BATCH:
        raise EdgekitError(f"--batch {shape.batch}: out of range", f"give 1 to {MOST_BATCH}")
    for name, value in (("proposals", shape.proposals), ("detections", shape.detections)):
        if value is not None and not 1 <= value <= TOP_K:
            raise EdgekitError(f"--{name} {value}: out of range", f"give 1 to {TOP_K}, the most TensorRT's TopK takes")


def verified(
    path: Path, output: Path, model: str | Path, meta: ModelMeta, shape: Shape, images: Path | None, track: Track
) -> Parity:
    """Compare an ONNX file, to be named ``output``, with its checkpoint; raises if they differ."""
    added = len(meta.generations) - 1 if meta.scoring == "exact" else None
    module, _ = load_model(model, added, size=meta.input_size)
    reference = Selected(TorchSession(limited(module, shape), meta), meta, meta.best_only)
    exported = OnnxSession(path)
    photos = list_images(images or SAMPLE_PHOTOS)
    pixels = (read_image(p) for p in track(photos, "comparing with PyTorch"))
    agreement = parity((detect(reference, p), detect(exported, p)) for p in pixels)
    if agreement.matched_share < LEAST_MATCHED:
        raise EdgekitError(
            f"{output}: the graph's detections differ from PyTorch's: {agreement.matched} of {agreement.compared} "
            f"above score {agreement.min_score} matched, largest score difference "
            f"{agreement.largest_score_difference:.2g}",
            "nothing was written; see where with `edgekit compare`, or write it all the same with --no-verify",
        )
    return agreement


def limited(module: GenerationalRCNN, shape: Shape) -> GenerationalRCNN:
    """A module with the numbers of proposals and detections that a graph's shape has."""
    rpn, heads = module.base.rpn, module.heads
    if shape.proposals is not None:
        rpn._post_nms_top_n = dict.fromkeys(rpn._post_nms_top_n, shape.proposals)
        rpn._pre_nms_top_n = {mode: max(n, shape.proposals) for mode, n in rpn._pre_nms_top_n.items()}
    if shape.detections is not None:
        heads.detections_per_img = shape.detections
    return module

"""A graph whose masks are made by graphs of their own, as files: the detector, the mask graphs, their weights."""

from __future__ import annotations

import contextlib
import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.artifacts.graph_shapes import canvases_of
from edgekit.artifacts.metadata import METADATA_KEY, ModelMeta
from edgekit.artifacts.onnx_files import read_onnx, write_onnx
from edgekit.artifacts.value_names import MASKS
from edgekit.deployment.edits.for_cpu import rewrite_for_cpu
from edgekit.deployment.edits.int32_labels import has_int32_labels
from edgekit.deployment.edits.mask_cut import cut_masks
from edgekit.deployment.edits.winograd import uses_winograd
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256, writing

if TYPE_CHECKING:
    import onnx

MASK_CHOICES = ("all", "found")
SHARED_BYTES = 1024  # weights of at least this size are in the shared file
NAMED = 16  # hexadecimal digits of a file's SHA-256 that are in its name
ALIGNMENT = 4096  # of a tensor in it, so that it can be mapped into memory


@dataclass(frozen=True)
class Written:
    """A graph as written: at ``path``, which holds ``graph``, with files ``beside`` it that make its masks."""

    path: Path
    graph: onnx.ModelProto
    beside: tuple[str, ...] = ()


def check_cut(graph: onnx.ModelProto, meta: ModelMeta, path: Path) -> None:
    """Raise if the masks of a graph, exported from or read at ``path``, cannot be made by graphs of their own."""
    if all(o.name != MASKS for o in graph.graph.output):
        raise EdgekitError(f"--masks found: {meta.architecture} makes no masks", "omit it")
    if uses_winograd(graph):
        raise EdgekitError(
            f"--masks found: {path} is made for CPUs already", "give the graph it was made from, and --target cpu here"
        )
    if has_int32_labels(graph):
        raise EdgekitError(
            f"--masks found: {path} has int32 labels", "give the graph it was made from, or omit --masks"
        )
    if canvases_of(graph) > 1:
        raise EdgekitError(f"--masks found: {path} takes {canvases_of(graph)} images per run", "give a graph for one")


def write(output: Path, graph: onnx.ModelProto, meta: ModelMeta, masks: str, for_cpu: bool = False) -> Written:
    """Write a graph, with ``masks`` "found" cut in parts: files beside ``output``.

    ``for_cpu`` rewrites all of them for onnxruntime's CPU kernels, where that gains.
    """
    if masks == "all":
        if for_cpu:
            rewrite_for_cpu(graph)
        write_onnx(output, graph, meta)
        return Written(output, graph)
    with writing(output):
        return write_parts(output, graph, meta, for_cpu)


def write_parts(output: Path, graph: onnx.ModelProto, meta: ModelMeta, for_cpu: bool = False) -> Written:
    """Write a graph's detector to ``output``, its mask graphs and their weights beside it.

    Their names hold digests of their bytes: those of a new set are not written over those of an older one, which stays
    whole until the detector, which names them, is replaced.
    """
    cut = cut_masks(graph, meta)
    if for_cpu:
        for part in (cut.detector, *cut.masks.values()):
            rewrite_for_cpu(part)
    weights = _share_weights(list(cut.masks.values()), output)
    about: dict[str, dict[str, Any]] = {weights.name: {"sha256": sha256(weights)}}
    for (generation, slots), part in cut.masks.items():
        part.producer_name = METADATA_KEY
        data = part.SerializeToString()
        digest = hashlib.sha256(data).hexdigest()
        path = output.with_name(f"{output.stem}.masks-{generation}-{slots}-{digest[:NAMED]}.onnx")
        path.write_bytes(data)
        about[path.name] = {"sha256": digest, "generation": generation, "slots": slots}
    write_onnx(output, cut.detector, replace(meta, mask_files=about))
    return Written(output, cut.detector, tuple(about))


def remove_unused(output: Path) -> None:
    """Remove the files of earlier sets of ``output``'s name that no detector in its folder names any more.

    Their bytes have the digest that is in their name, so they are edgekit's own.
    """
    name = re.compile(rf"{re.escape(output.stem)}\.masks(-\d+-\d+)?-([0-9a-f]{{{NAMED}}})\.(onnx|weights)")
    parts = {path: found[2] for path in output.parent.iterdir() if (found := name.fullmatch(path.name))}
    if not parts:
        return
    named: set[str] = set()
    for path in set(output.parent.glob("*.onnx*")) - set(parts):
        with contextlib.suppress(EdgekitError):  # not edgekit's
            named |= set(read_onnx(path)[1].mask_files)
    for path, digest in parts.items():
        if path.name not in named and sha256(path).startswith(digest):
            path.unlink(missing_ok=True)


def _share_weights(parts: list[onnx.ModelProto], output: Path) -> Path:
    """Move the large tensors of several graphs to one file beside ``output`` (ONNX's external data), equal ones once.

    Returns the file.
    """
    from onnx.external_data_helper import set_external_data

    offsets: dict[str, int] = {}
    large = [t for part in parts for t in part.graph.initializer if len(t.raw_data) >= SHARED_BYTES]
    digests = [hashlib.sha256(tensor.raw_data).hexdigest() for tensor in large]
    unnamed = output.with_name(f"{output.stem}.masks.weights")
    with unnamed.open("wb") as file:
        for tensor, digest in zip(large, digests, strict=True):
            if digest not in offsets:
                file.write(b"\0" * (-file.tell() % ALIGNMENT))
                offsets[digest] = file.tell()
                file.write(tensor.raw_data)
    path = unnamed.rename(output.with_name(f"{output.stem}.masks-{sha256(unnamed)[:NAMED]}.weights"))
    for tensor, digest in zip(large, digests, strict=True):
        set_external_data(tensor, path.name, offsets[digest], len(tensor.raw_data))
        tensor.ClearField("raw_data")
    return path

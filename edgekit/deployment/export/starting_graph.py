"""What an export starts from: a graph, and the session that its detections are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import read_whole_onnx
from edgekit.deployment.edits.winograd import uses_winograd
from edgekit.errors import EdgekitError
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.session import Session

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Source:
    """A graph, what it is, and ``reference``: of the finished graph's metadata, the session to compare it with."""

    graph: onnx.ModelProto
    meta: ModelMeta
    reference: Callable[[ModelMeta], Session]


def of_graph(path: Path, precision: str | None, fixed: Sequence[str]) -> Source:
    """A graph that was exported before, to be compared with itself; nothing of it needs PyTorch.

    Raises if ``fixed`` names any options that were given, since only a checkpoint can follow them, or if the graph has
    another reduced precision than ``precision``.
    """
    if fixed:
        raise EdgekitError(f"{path}: is a finished graph, {', '.join(fixed)} cannot change it", "export the checkpoint")
    graph, meta = read_whole_onnx(path)
    if precision not in (None, meta.precision) and meta.precision != "fp32":
        raise EdgekitError(
            f"{path}: is {meta.precision} already, {precision} was asked for", "give the fp32 graph it was made from"
        )
    if precision not in (None, meta.precision) and meta.input_type != "uint8":
        raise EdgekitError(
            f"{path}: takes float32 images, and precision is set before that",
            f"give the graph it was made from: --precision {precision} --input {meta.input_type}",
        )
    if precision not in (None, meta.precision) and uses_winograd(graph):
        raise EdgekitError(f"{path}: is made for CPUs in fp32", "give the graph it was made from, without --target")
    return Source(graph, meta, lambda _: OnnxSession(path))

"""The graph that an export starts from, and the session that its detections are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import OnnxFile, open_onnx
from edgekit.deployment.edits.winograd import uses_winograd
from edgekit.errors import EdgekitError
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.session import Session


@dataclass(frozen=True)
class StartingGraph:
    """A graph and what it is; ``reference`` opens the session to compare a graph of given metadata with."""

    graph: onnx.ModelProto
    meta: ModelMeta
    reference: Callable[[ModelMeta], Session]


def open_finished(path: Path, checkpoint_options: Sequence[str]) -> OnnxFile:
    """Read a graph that was exported before; raises for options that only a checkpoint can follow."""
    if checkpoint_options:
        names = ", ".join(checkpoint_options)
        raise EdgekitError(f"{path}: is a finished graph, {names} cannot change it", "export the checkpoint")
    return open_onnx(path)


def of_graph(file: OnnxFile, precision: str | None) -> StartingGraph:
    """A graph that was exported before, to be compared with itself; this needs no PyTorch.

    Raises if it cannot be converted to ``precision``.
    """
    graph, meta = onnx.ModelProto(), file.meta
    graph.CopyFrom(file.graph)  # what becomes of it is compared with the file's
    if precision not in (None, meta.precision):
        _check_convertible(file.path, graph, meta, str(precision))
    return StartingGraph(graph, meta, lambda _: OnnxSession(file))


def _check_convertible(path: Path, graph: onnx.ModelProto, meta: ModelMeta, precision: str) -> None:
    """Raise for a graph that was given its last form already."""
    hint = "give the fp32 graph that it was made from"
    if meta.precision != "fp32":
        raise EdgekitError(f"{path}: is {meta.precision} already, {precision} was asked for", hint)
    if meta.input_type != "uint8":
        both = f"with --precision {precision} --input {meta.input_type}"
        raise EdgekitError(f"{path}: takes float32 images, and a precision is set before that", f"{hint}, {both}")
    if uses_winograd(graph):
        raise EdgekitError(f"{path}: is made for CPUs in fp32", f"{hint}, and omit --target")

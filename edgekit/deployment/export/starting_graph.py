"""The graph that an export starts from, and the session that its detections are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import open_onnx
from edgekit.artifacts.pack_files import Pack
from edgekit.deployment.edits.winograd import uses_winograd
from edgekit.errors import EdgekitError
from edgekit.graphs.appending import with_packs_appended
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.session import Session


@dataclass(frozen=True)
class StartingGraph:
    """A graph and what it is; ``reference`` opens the session to compare a graph of given metadata with."""

    graph: onnx.ModelProto
    meta: ModelMeta
    reference: Callable[[ModelMeta], Session]


def of_graph(
    path: Path, precision: str | None, checkpoint_options: Sequence[str], packs: Sequence[Pack] = ()
) -> StartingGraph:
    """A graph that was exported before, with packs, to be compared with itself; this needs no PyTorch.

    Raises for options that only a checkpoint can follow, and if it cannot be converted to ``precision``.
    """
    if checkpoint_options:
        names = ", ".join(checkpoint_options)
        raise EdgekitError(f"{path}: is a finished graph, {names} cannot change it", "export the checkpoint")
    file = with_packs_appended(open_onnx(path), packs)
    graph, meta = onnx.ModelProto(), file.meta
    graph.CopyFrom(file.graph)  # what becomes of it is compared with the file's
    if precision not in (None, meta.precision):
        _check_convertible(path, graph, meta, str(precision))
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

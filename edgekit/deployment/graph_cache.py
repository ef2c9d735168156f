"""Exported graphs that are worth keeping: by what they depend on, in the user's cache."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from edgekit.files import atomic_path, default_cache

if TYPE_CHECKING:
    import onnx


def cached_graph(
    kind: str, about: list[Any], build: Callable[[], onnx.ModelProto], most: int | None = None
) -> onnx.ModelProto:
    """The graph that ``build`` makes, from the cache's folder ``kind`` if it was made before.

    ``about`` is what the graph depends on, besides how edgekit and PyTorch export. ``most`` bounds how many the
    folder holds, the last used ones.
    """
    import onnx

    cached = cached_file(kind, about)
    graph = _load(cached)
    if graph is None:
        graph = build()
        with atomic_path(cached) as temporary:
            onnx.save(graph, temporary)
        if most is not None:
            _prune(cached.parent, most)
    cached.touch()
    return graph


def _load(cached: Path) -> onnx.ModelProto | None:
    """A cached graph; None where there is none or its file is damaged."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(cached)
    except (FileNotFoundError, DecodeError):
        return None
    return graph if graph.graph.node else None  # an empty file is an empty graph


def cached_file(kind: str, about: list[Any]) -> Path:
    """Where the cache has, or would have, a graph (see ``cached_graph``)."""
    everything = [*about, exporter_digest(), torch.__version__]
    key = hashlib.sha256(json.dumps(everything).encode()).hexdigest()[:40]
    return default_cache() / kind / f"{key}.onnx"


@functools.cache
def exporter_digest() -> str:
    """A digest of the code that graphs are made by: another edgekit makes its own."""
    digest, package = hashlib.sha256(), Path(__file__).parents[1]
    for folder in ("model", "deployment"):
        for file in sorted((package / folder).glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _prune(folder: Path, most: int) -> None:
    """Remove all but the last used graphs."""
    by_age = sorted(folder.glob("*.onnx"), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in by_age[most:]:
        old.unlink(missing_ok=True)

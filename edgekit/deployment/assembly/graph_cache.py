"""Exported graphs that are worth keeping, in the user's cache."""

from __future__ import annotations

from collections.abc import Callable

import onnx

from edgekit.files.cache_folder import CacheFolder
from edgekit.files.whole_files import default_cache

FILE = "graph.onnx"
LIMIT_GB = 2.0  # of each kind: some ten ResNet50 graphs


def cached_graph(kind: str, key: str, build: Callable[[], onnx.ModelProto]) -> onnx.ModelProto:
    """The graph that ``build`` makes, from the cache's folder ``kind`` if it was made before under ``key``."""
    cache = CacheFolder(default_cache() / kind, LIMIT_GB)
    entry = cache.find(key)
    if entry is not None:
        try:
            return onnx.load(entry / FILE)
        except FileNotFoundError:  # another process has just removed it
            pass
    graph = build()
    with cache.adding(key) as folder:
        onnx.save(graph, folder / FILE)
    return graph

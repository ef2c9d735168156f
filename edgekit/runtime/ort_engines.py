"""The engines that onnxruntime's TensorRT provider builds in minutes, kept for the next session of the same graph."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgekit.files.cache_folder import DIGESTS, CacheFolder
from edgekit.files.whole_files import default_cache, output_folder, sha256, staging

LIMIT_GB = 4.0
WEIGHTS = (".weights", ".data", ".bin")  # of the files beside a graph, those that may hold its weights


@contextlib.contextmanager
def kept_engines(model: str | bytes, made_for: str) -> Iterator[Path]:
    """A folder with the engines of a graph (its path or its bytes), where the provider leaves what it builds.

    onnxruntime tells engines apart by the graph's names and its file's: another adaptation's engine would pass for
    this one's. So each graph has a folder of its own, by all its bytes and by ``made_for``, what else counts.
    """
    cache = CacheFolder(output_folder(default_cache() / "onnxruntime-tensorrt"), LIMIT_GB)
    key = _key(model, made_for)
    with staging(cache.folder) as folder:
        if entry := cache.find(key):
            shutil.copytree(entry, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(DIGESTS))
        before = set(folder.iterdir())
        yield folder
        if set(folder.iterdir()) != before:
            with cache.adding(key) as place:
                shutil.copytree(folder, place, dirs_exist_ok=True)


def _key(model: str | bytes, made_for: str) -> str:
    content = model if isinstance(model, bytes) else Path(model).read_bytes()
    digests = [hashlib.sha256(content).hexdigest()]
    if isinstance(model, str):
        beside = (p for p in Path(model).absolute().parent.iterdir() if p.suffix in WEIGHTS)
        digests += sorted(sha256(p) for p in beside if p.name.encode() in content)
    return hashlib.sha256(" ".join([*digests, made_for]).encode()).hexdigest()[:40]

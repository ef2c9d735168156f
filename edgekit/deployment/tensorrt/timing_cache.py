"""Timings of kernels kept between builds, in a cache entry for one exact version of TensorRT on one kind of GPU."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekit.deployment.tensorrt.target import Target
from edgekit.files.cache_folder import CacheFolder

FILE = "timings"
LIMIT_GB = 1.0


def cache_entry(folder: Path | None, target: Target) -> Path | None:
    """The entry in ``folder`` for this TensorRT and GPU; None if there is no use for one.

    TensorRT-RTX times nothing while it builds, and ahead of time there is nothing to time on.
    """
    if folder is None or target.gpu is None or target.tensorrt.flavour == "rtx":
        return None
    gpu = re.sub(r"[^A-Za-z0-9]+", "-", target.gpu.name).strip("-")
    return folder / f"tensorrt-{target.tensorrt.version}-{gpu}-sm{target.gpu.compute_capability}.timing"


@contextmanager
def kept_timings(config: Any, folder: Path | None, target: Target) -> Iterator[None]:
    """Give a builder's config the timings kept in ``folder``, and keep those that the build in the block adds."""
    entry = cache_entry(folder, target)
    if entry is None:
        yield
        return
    store = CacheFolder(entry.parent, LIMIT_GB)
    sound = store.find(entry.name)
    kept = (sound / FILE).read_bytes() if sound else b""
    cache = config.create_timing_cache(kept)
    if cache is None or not config.set_timing_cache(cache, False):  # of another driver
        kept = b""
        config.set_timing_cache(config.create_timing_cache(kept), False)
    yield
    made = config.get_timing_cache()
    timings = bytes(made.serialize()) if made is not None else b""
    if timings and timings != kept:
        with store.adding(entry.name) as adding:
            (adding / FILE).write_bytes(timings)

"""Timings of kernels kept between builds, in a file for one exact version of TensorRT on one kind of GPU."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgekit.deployment.tensorrt.target import Target
from edgekit.files import atomic_path


def cache_file(folder: Path | None, target: Target) -> Path | None:
    """The file in ``folder`` for this TensorRT and GPU; None if there is no use for one.

    TensorRT-RTX times nothing while it builds, and ahead of time there is nothing to time on.
    """
    if folder is None or target.gpu is None or target.tensorrt.flavour == "rtx":
        return None
    gpu = re.sub(r"[^A-Za-z0-9]+", "-", target.gpu.name).strip("-")
    return folder / f"tensorrt-{target.tensorrt.version}-{gpu}-sm{target.gpu.compute_capability}.timing"


def attach(config: Any, file: Path | None) -> bytes:
    """Give a builder's config what ``file`` holds, or an empty cache; returns the bytes it took."""
    if file is None:
        return b""
    kept = file.read_bytes() if file.exists() else b""
    cache = config.create_timing_cache(kept)
    if cache is None or not config.set_timing_cache(cache, False):  # damaged, or of another driver
        kept = b""
        config.set_timing_cache(config.create_timing_cache(kept), False)
    return kept


def keep(config: Any, file: Path | None, before: bytes) -> None:
    """Write a config's timings to ``file`` if the build added some."""
    if file is None:
        return
    cache = config.get_timing_cache()
    timings = bytes(cache.serialize()) if cache is not None else b""
    if timings and timings != before:
        with atomic_path(file) as temporary:
            temporary.write_bytes(timings)

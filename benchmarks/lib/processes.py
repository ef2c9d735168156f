"""Functions run in processes of their own, so that their memory can be told."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any


def in_a_process(function: Any, *arguments: Any) -> dict[str, Any]:
    """What a function returns in a new process, with that process's peak resident memory in MB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (function, arguments))


def _measured(function: Any, arguments: tuple[Any, ...]) -> dict[str, Any]:
    result = function(*arguments)
    return result | {"peak_rss_mb": peak_rss_mb()}


def peak_rss_mb() -> int:
    """This process's peak resident memory; ``ru_maxrss`` would count the parent's, from before the child's exec."""
    status = Path("/proc/self/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return round(int(kilobytes) * 1024 / 1e6)

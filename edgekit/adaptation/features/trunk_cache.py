"""Exported trunks in the cache: made on first use, each under what it was made from and how it computes."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from edgekit.adaptation.features.frozen_trunk import MASK_ROIS, MOST_PROPOSALS, OnnxTrunk, TrunkFiles
from edgekit.deployment.assembly.trunk_files import BODY, BOX_HEAD, MASK_HEAD
from edgekit.deployment.edits.winograd import gains_here
from edgekit.errors import EdgekitError
from edgekit.files.cache_folder import CacheFolder, entry_sha256
from edgekit.files.code_digest import entry_key
from edgekit.measurement.machine.system import processor
from edgekit.progress import Track
from edgekit.runtime.gpu import nvidia_device
from edgekit.runtime.onnx_session import ort_version

TRUNK_ROIS = MOST_PROPOSALS + 16  # the exported box head's number of boxes: the proposals and a photo's objects
LIMIT_GB = 3.0  # some ten ResNet50 trunks
TIMINGS_GB = 0.001
TRIES = 3


def exported_trunk(
    write: partial[None], trunk_sha256: str, size: tuple[int, int], runtime: str, cache: Path, track: Track
) -> OnnxTrunk:
    """The trunk of these weights for an input size, from the cache, where ``write`` puts it on first use.

    "onnx" runs it on CUDA where that can be used, else on the CPU; "tensorrt" is onnxruntime's provider of this name.
    """
    provider = "tensorrt" if runtime == "tensorrt" else ""
    winograd = _by_winograd(cache)
    about = [trunk_sha256, size, MOST_PROPOSALS, TRUNK_ROIS, MASK_ROIS, "winograd" if winograd else "plain"]
    trunks, key = CacheFolder(cache / "trunks", LIMIT_GB), entry_key(write.func, about)

    def make(folder: Path) -> None:
        for _ in track(range(1), "exporting the frozen trunk"):
            write(folder=folder, rois=TRUNK_ROIS, mask_rois=MASK_ROIS, for_cpu=winograd)

    for _ in range(TRIES):
        entry = trunks.find(key) or trunks.add(key, make)
        try:
            mask_head = entry / MASK_HEAD if (entry / MASK_HEAD).exists() else None
            files = TrunkFiles(entry / BODY, entry / BOX_HEAD, mask_head, entry_sha256(entry), size)
            return OnnxTrunk(files, provider)
        except Exception:  # onnxruntime's errors have no class of their own
            if entry.exists():
                raise
        # Another process has just removed it, to make room for its own.
    raise EdgekitError(f"{trunks.folder}: other processes remove the trunk", "give another folder with --cache")


def _by_winograd(cache: Path) -> bool:
    """Whether to export a trunk for the CPU, by Winograd's method: where that gains, and no GPU will run it.

    It is timed once per machine, so that later runs decide alike.
    """
    if nvidia_device():
        return False
    timings = CacheFolder(cache / "timings", TIMINGS_GB)
    key = entry_key(gains_here, [processor(), os.cpu_count(), ort_version()])
    try:
        if entry := timings.find(key):
            return (entry / "gains").read_text() == "True"
    except FileNotFoundError:  # another process has just removed it
        pass
    gains = gains_here()
    with timings.adding(key) as folder:
        (folder / "gains").write_text(str(gains))
    return gains

"""Every photo looked at once, at a reduced size: whether it can be used, and its hash for near-duplicates."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edgekit.checking.near_duplicates import BITS, difference_hash
from edgekit.data.annotations.dataset import Photo
from edgekit.data.annotations.fault_kinds import BLANK, UNREADABLE
from edgekit.data.annotations.faults import FaultKind, Faults
from edgekit.data.annotations.usable import without_blank
from edgekit.data.images import read_image
from edgekit.errors import EdgekitError
from edgekit.progress import Track

LONGEST = 512  # pixels of a photo's long side that are looked at


@dataclass(frozen=True)
class Look:
    """What came of looking at a photo: as much of it as can be used, what is wrong with it, and its hash."""

    path: Path
    photo: Photo | None
    kind: FaultKind | None
    detail: str
    bits: np.ndarray = field(default_factory=lambda: np.zeros(BITS, bool))


@dataclass(frozen=True)
class Scanned:
    """The photos that can be used, with the objects that can be seen, and their hashes, bool [N, BITS]."""

    photos: tuple[Photo, ...]
    hashes: np.ndarray


def scan(photos: Sequence[Photo], faults: Faults, track: Track, what: str) -> Scanned:
    """Look at all photos, and note in ``faults`` what is wrong with them."""
    seen: list[Photo] = []
    hashes = [np.zeros((0, BITS), bool)]
    pool = ThreadPoolExecutor(os.cpu_count())  # Pillow and NumPy do the work
    try:
        for future in track([pool.submit(_look, photo) for photo in photos], what):
            look = future.result()
            if look.kind is not None:
                faults.add(look.kind, look.path, detail=look.detail)
            if look.photo is not None:
                seen.append(look.photo)
                hashes.append(look.bits[None])
    finally:
        pool.shutdown(cancel_futures=True)
    return Scanned(tuple(seen), np.concatenate(hashes))


def _look(photo: Photo) -> Look:
    try:
        pixels = read_image(photo.path, LONGEST)
    except EdgekitError as error:
        return Look(photo.path, None, UNREADABLE, error.message.removeprefix(f"{photo.path}: "))
    seen, words = _visible(photo, pixels)
    detail = words.removeprefix(f"{photo.path}: ")
    return Look(photo.path, seen, BLANK if words else None, detail, difference_hash(pixels))


def _visible(photo: Photo, pixels: np.ndarray) -> tuple[Photo | None, str]:
    """``without_blank`` on the reduced photo: what of it can be seen, and what cannot, in words."""
    height, width = pixels.shape[:2]
    scale = (width / photo.width, height / photo.height) * 2
    boxes = [tuple(v * s for v, s in zip(item.bbox, scale, strict=True)) for item in photo.annotations]
    reduced = [replace(item, bbox=box) for item, box in zip(photo.annotations, boxes, strict=True)]
    seen, words = without_blank(replace(photo, annotations=tuple(reduced)), pixels)
    if seen is None or not words:
        return (None if seen is None else photo), words
    kept = {id(item) for item in seen.annotations}
    shown = [item for item, small in zip(photo.annotations, reduced, strict=True) if id(small) in kept]
    return replace(photo, annotations=tuple(shown)), words

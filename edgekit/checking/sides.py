"""The photos to learn from and those held out, each looked at once; near-duplicates of both together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgekit.adaptation.splitting import split
from edgekit.checking.near_duplicates import NearDuplicates, duplicate_groups, near_duplicates
from edgekit.checking.photo_scan import scan
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.beside import collect_beside
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.faults import Faults
from edgekit.data.annotations.formats import collect_dataset
from edgekit.progress import Track


@dataclass(frozen=True)
class Sides:
    """A dataset's photos that can be used, followed by those of another one that is held out, if there is one.

    ``held_out`` and ``groups``, numbers of near-duplicates, are of all ``paths``: the dataset's photos come first.
    """

    dataset: Dataset
    paths: tuple[Path, ...]
    held_out: tuple[bool, ...]
    groups: tuple[int, ...]

    def duplicates(self) -> tuple[NearDuplicates, ...]:
        """The groups of near-duplicates."""
        return near_duplicates(self.paths, self.held_out, self.groups)


def look_at_both(
    source: AnnotationSource,
    val: Path | float | None,
    known: Sequence[str],
    seed: int,
    faults: Faults,
    track: Track,
) -> Sides:
    """Read and look at both; ``faults`` takes what is wrong. Without a ``val`` file, the photos are held out that
    ``adapt`` would hold out where ``known`` are the base model's classes."""
    dataset, hashes = _usable(collect_dataset(source, faults), faults, track)
    photos = dataset.photos
    if isinstance(val, Path):
        other, more = _usable(collect_beside(val, source.images[0], "val", faults), faults, track)
        paths = [p.path for p in (*photos, *other.photos)]
        held_out = [False] * len(photos) + [True] * len(other.photos)
        hashes = np.concatenate([hashes, more])
    else:
        annotated = {a.category for p in photos for a in p.annotations}
        _, out = split(photos, [c for c in dataset.categories if c in annotated and c not in known], seed, val)
        held = {p.id for p in out}
        paths, held_out = [p.path for p in photos], [p.id in held for p in photos]
    return Sides(dataset, tuple(paths), tuple(held_out), tuple(duplicate_groups(hashes).tolist()))


def _usable(dataset: Dataset, faults: Faults, track: Track) -> tuple[Dataset, np.ndarray]:
    """The photos that can be used, with the objects that can be seen, and their hashes."""
    scanned = scan(dataset.photos, faults, track, f"looking at the photos of {dataset.file.name}")
    return replace(dataset, photos=scanned.photos), scanned.hashes

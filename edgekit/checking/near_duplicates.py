"""Photos that are nearly the same, such as frames of one video: their difference hashes differ in few bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

CELLS = 16  # rows and columns of a photo that are compared
BITS = CELLS * CELLS
NEAR = 40  # bits that differ at most (docs/log.md)
ROWS = 1024  # photos compared at once with all others, which bounds the memory


@dataclass(frozen=True)
class NearDuplicates:
    """A group of photos, each nearly the same as another one of it, by what they are for."""

    learned: tuple[Path, ...]
    held_out: tuple[Path, ...]

    @property
    def over_the_split(self) -> bool:
        """Whether held-out photos show what is learned from, so that their AP is too high."""
        return bool(self.learned and self.held_out)


def difference_hash(pixels: np.ndarray) -> np.ndarray:
    """bool [BITS] of a photo [H, W, 3]: whether each of ``CELLS`` x ``CELLS`` cells is brighter than the one before.

    Scaling, compression and light change few of them (N. Krawetz, "Kind of Like That", 2013).
    """
    grey = Image.fromarray(pixels).convert("L").resize((CELLS + 1, CELLS), Image.Resampling.BOX)
    cells = np.asarray(grey, np.int16)
    return (cells[:, 1:] > cells[:, :-1]).ravel()


def duplicate_groups(hashes: np.ndarray, near: int = NEAR) -> np.ndarray:
    """The group [N] of each hash [N, BITS]: the number of its first member."""
    signs = np.where(hashes, 1, -1).astype(np.float32)
    group = np.arange(len(hashes))
    for start in range(0, len(hashes), ROWS):
        differing = (BITS - signs[start : start + ROWS] @ signs.T) / 2
        for row, alike in enumerate(differing <= near, start=start):
            earlier = np.flatnonzero(alike[:row])
            if len(earlier):
                joined = np.unique(group[earlier])
                group[np.isin(group, joined)] = joined[0]
                group[row] = joined[0]
    return group


def near_duplicates(
    paths: Sequence[Path], held_out: Sequence[bool], groups: Sequence[int]
) -> tuple[NearDuplicates, ...]:
    """The groups of two photos or more, first those over the split, then the largest."""
    members: dict[int, list[int]] = {}
    for place, number in enumerate(groups):
        members.setdefault(number, []).append(place)
    found = [
        NearDuplicates(
            tuple(paths[i] for i in places if not held_out[i]),
            tuple(paths[i] for i in places if held_out[i]),
        )
        for places in members.values()
        if len(places) > 1
    ]
    return tuple(sorted(found, key=lambda g: (not g.over_the_split, -len(g.learned) - len(g.held_out))))

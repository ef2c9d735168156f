"""Which photos a page shows: all classes and faults among them, the same for the same seed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np

from edgekit.data.annotations.dataset import Photo

SHOWN = 24
FAULTY = 8  # of these at most show faults


def example_photos(photos: Sequence[Photo], faulty: Collection[Path], seed: int) -> tuple[Photo, ...]:
    """At most ``SHOWN`` photos: some with faults, then of each class in turn, the rarest first."""
    order = np.random.default_rng([seed, len(photos)]).permutation(len(photos)).tolist()
    chosen = [i for i in order if photos[i].path in faulty][:FAULTY]
    waiting: dict[str, list[int]] = {}
    for i in order:
        for name in sorted({a.category for a in photos[i].annotations} or {""}):
            waiting.setdefault(name, []).append(i)
    turns = sorted(waiting.values(), key=len)
    taken = set(chosen)
    for turn in cycle(turns):
        if len(chosen) >= SHOWN or not any(turns):
            break
        while turn:
            i = turn.pop(0)
            if i not in taken:
                taken.add(i)
                chosen.append(i)
                break
    return tuple(photos[i] for i in chosen)

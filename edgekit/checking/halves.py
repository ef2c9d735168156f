"""Photos in two halves for cross-validation: both show every class, and near-duplicates are never apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from edgekit.data.annotations.dataset import Photo


def halves(photos: Sequence[Photo], groups: Sequence[int], classes: Sequence[str], seed: int) -> list[int]:
    """The half, 0 or 1, of each photo; ``groups`` are the near-duplicates' numbers.

    The groups with the rarest classes are shared out first, each to the half with fewer objects of its rarest class.
    """
    members: dict[int, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    shown = {group: _objects([photos[i] for i in places], classes) for group, places in members.items()}
    everywhere = sum(shown.values(), Counter())
    order = np.random.default_rng([seed, len(photos)]).permutation(len(members)).tolist()
    drawn = [list(members)[i] for i in order]
    held = (Counter[str](), Counter[str]())
    sizes = [0, 0]
    half = [0] * len(photos)

    def rarest(group: int) -> str:
        return min(shown[group], key=lambda name: everywhere[name], default="")

    for group in sorted(drawn, key=lambda group: everywhere[rarest(group)] or len(photos)):
        chosen = min((0, 1), key=lambda side: (held[side][rarest(group)], sizes[side]))
        held[chosen].update(shown[group])
        sizes[chosen] += len(members[group])
        for place in members[group]:
            half[place] = chosen
    return half


def _objects(photos: Sequence[Photo], classes: Sequence[str]) -> Counter[str]:
    return Counter(a.category for p in photos for a in p.annotations if a.category in classes and not a.iscrowd)

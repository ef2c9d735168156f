"""Which photos are held out: a share of them, drawn by the seed, in which every class is shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.data.annotations.dataset import Photo
from edgekit.errors import EdgekitError

SHARE = 0.2  # of the photos is held out
AUTOMATIC_LEAST = 100  # with fewer photos all are learned from: they teach more than they tell held out (docs/log.md)


def split(
    photos: Sequence[Photo], classes: Sequence[str], seed: int, share: float | None = None
) -> tuple[list[Photo], list[Photo]]:
    """Photos to learn from and photos held out: ``share`` of them, by default ``SHARE`` if there are many.

    Every class must be shown in both parts: otherwise a share that was asked for raises EdgekitError, and by default
    none is held out.
    """
    if share is None and len(photos) < AUTOMATIC_LEAST:
        return list(photos), []
    order = np.random.default_rng([seed, len(photos)]).permutation(len(photos))
    out = set(order[: int(len(photos) * (share or SHARE))].tolist())
    parts = [p for i, p in enumerate(photos) if i not in out], [p for i, p in enumerate(photos) if i in out]
    for part in parts:
        shown = {a.category for p in part for a in p.annotations if not a.iscrowd}
        missing = [name for name in classes if name not in shown]
        if missing and share is not None:
            raise EdgekitError(
                f"--val {share:.0%}: of {len(photos)} photos, one part shows no {missing[0]}",
                "annotate more photos, change --seed or the share, or give --val a file",
            )
        if missing:
            return list(photos), []
    return parts

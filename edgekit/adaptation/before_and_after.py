"""What an adaptation did to detections, in figures: AP before and after, and what one label per object hides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.artifacts.metadata import ModelMeta
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.detections import Detections
from edgekit.measurement.evaluate import Part, score
from edgekit.runtime.selection import one_label

CONFIDENT = 0.5  # the score above which a detection is one that users see
Pair = tuple[Detections, Detections]  # what the model before and the model after find in a photo


@dataclass(frozen=True)
class OldPrecision:
    """The AP of earlier classes on some photos, before and after."""

    before: Part
    after: Part
    photos: int

    @property
    def drop(self) -> float:
        """The larger fall of box and mask AP, in 0..1."""
        falls = [self.before.box.AP - self.after.box.AP]
        if self.before.mask and self.after.mask:
            falls.append(self.before.mask.AP - self.after.mask.AP)
        return max(falls)


@dataclass(frozen=True)
class Hidden:
    """How many earlier detections above ``CONFIDENT`` the adapted model hides with ``--overlaps one``, of how many.

    Counted in the held-out photos and those of old data: in photos that were learned from, new classes score higher.
    """

    photos_not_learned_from: int
    detections: int
    hidden: int


@dataclass(frozen=True)
class RefinedClass:
    """What became of an earlier class that the adaptation refined: its AP with one label per object on the held-out
    photos and on those of old data, None where these do not show it.

    ``replaced`` counts its earlier detections above ``CONFIDENT`` in these photos, of ``detections``, in whose place
    one label per object leaves another one.
    """

    name: str
    held_out: OldPrecision | None
    old: OldPrecision | None
    detections: int
    replaced: int


def count_hidden(found: Sequence[Detections], old_labels: Sequence[int], meta: ModelMeta) -> Hidden:
    """What one label per object hides of the ``old_labels`` in photos, one ``Detections`` per photo."""
    old = [np.isin(d.labels, old_labels) & (d.scores > CONFIDENT) for d in found]
    hidden = [of_old & ~one_label(d, meta) for of_old, d in zip(old, found, strict=True)]
    return Hidden(len(found), sum(int(o.sum()) for o in old), sum(int(h.sum()) for h in hidden))


def old_precision(pairs: Sequence[Pair], dataset: Dataset, meta: ModelMeta) -> OldPrecision:
    """The AP on old data of what both models found in its photos; ``meta`` describes the model before."""
    parts = []
    for results in zip(*pairs, strict=True):
        kept = [r.select(r.labels < len(meta.categories)) for r in results]
        result = score(dataset, dataset.photos, kept, meta)
        parts.append(Part(result.box, result.mask))
    return OldPrecision(before=parts[0], after=parts[1], photos=len(dataset.photos))


def new_precision(found: Sequence[Detections], dataset: Dataset, classes: Sequence[str], meta: ModelMeta) -> Part:
    """The new classes' AP on photos that nothing was learned from, of what the adapted model found in them."""
    only = Dataset(dataset.file, tuple(classes), dataset.photos)
    result = score(only, dataset.photos, found, meta)
    return Part(result.box, result.mask)


def refined_class(
    name: str, pairs: Sequence[Pair], held_out: Dataset, old: Dataset, before: ModelMeta, after: ModelMeta
) -> RefinedClass:
    """What became of one class; the pairs are of the held-out photos, then of those of old data."""
    labels = [label for label, other in enumerate(before.categories) if other == name]
    hidden = count_hidden([found for _, found in pairs], labels, after)
    kept = len(held_out.photos)
    return RefinedClass(
        name=name,
        held_out=_one_class(name, held_out, pairs[:kept], before, after),
        old=_one_class(name, old, pairs[kept:], before, after),
        detections=hidden.detections,
        replaced=hidden.hidden,
    )


def _one_class(
    name: str, dataset: Dataset, pairs: Sequence[Pair], before: ModelMeta, after: ModelMeta
) -> OldPrecision | None:
    """The AP of a class with one label per object; None for photos that do not show it."""
    if not any(a.category == name and not a.iscrowd for p in dataset.photos for a in p.annotations):
        return None
    only, parts = Dataset(dataset.file, (name,), dataset.photos), []
    for results, meta in zip(zip(*pairs, strict=True), (before, after), strict=True):
        result = score(only, only.photos, [found.select(one_label(found, meta)) for found in results], meta)
        parts.append(Part(result.box, result.mask))
    return OldPrecision(parts[0], parts[1], len(only.photos))

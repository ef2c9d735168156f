"""Which photos a page shows: all classes and faults among them, the same for the same seed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import cycle
from pathlib import PureWindowsPath

import numpy as np

from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.coco import is_coco
from edgekit.data.annotations.dataset import Photo
from edgekit.data.annotations.faults import Faults

SHOWN = 24
FAULTY = 8  # of these at most show faults


def photos_with_faults(source: AnnotationSource, faults: Faults) -> set[str]:
    """The names, without suffix, of photos with faults: those of the files that hold them, or of COCO's images."""
    wanted = {fault.where for fault in faults.found if fault.file == source.path}
    names = {fault.file.stem for fault in faults.found if fault.file != source.path}
    document = source.document
    if wanted and isinstance(document, dict) and is_coco(source):
        files = {row.get("id"): str(row.get("file_name")) for row in document["images"]}
        for number, row in enumerate(document["annotations"]):
            if f"annotation {row.get('id', number)}" in wanted:
                names.add(PureWindowsPath(files.get(row.get("image_id"), "")).stem)
    return names


def example_photos(photos: Sequence[Photo], faulty: Collection[str], seed: int) -> tuple[Photo, ...]:
    """At most ``SHOWN`` photos: some whose names without suffix are ``faulty``, then of each class in turn, beginning
    with the rarest."""
    order = np.random.default_rng([seed, len(photos)]).permutation(len(photos)).tolist()
    chosen = [i for i in order if photos[i].path.stem in faulty][:FAULTY]
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

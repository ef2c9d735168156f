"""Masks for annotated objects that have a box only: the frozen base model's, where they can be trusted."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pycocotools import mask as coco_mask

from edgekit.adaptation.features.feature_cache import FeatureCache
from edgekit.adaptation.mask_making.base_masks import MOST_SHIFT, BoxMasks, MaskMaker
from edgekit.data.annotations.dataset import Annotation, Photo
from edgekit.data.masks import encode
from edgekit.files.code_digest import entry_key
from edgekit.files.whole_files import sha256
from edgekit.processes import Processes
from edgekit.progress import Track, silent

LEAST_AGREEMENT = 0.7  # of the masks of a photo and its mirror image (docs/log.md)


@dataclass(frozen=True)
class MadeMasks:
    """Of one class's objects to learn from: how many have a box only, and for how many of these a mask was made."""

    boxes_only: int
    made: int


def lacks_mask(item: Annotation, classes: Collection[str]) -> bool:
    """Whether an object of one of the classes has a box but no mask."""
    return item.category in classes and not item.iscrowd and item.segmentation is None


def make_masks(
    photos: Sequence[Photo],
    classes: Collection[str],
    by: MaskMaker,
    cache: FeatureCache,
    ranks: Processes,
    method: str = "auto",
    track: Track = silent,
) -> tuple[Photo, ...]:
    """The photos with masks, marked as made, for the objects of ``classes`` that have a box but no mask.

    With the method "auto" an object whose mask cannot be trusted stays without one: where the photo and its mirror
    image disagree on it, or where it leaves a side of the box out. "base" keeps all. What was made once is in the
    cache.
    """
    lacking = [i for i, photo in enumerate(photos) if any(lacks_mask(a, classes) for a in photo.annotations)]
    keys = {i: _key(by, photos[i], _boxes(photos[i], classes)) for i in lacking}
    cache.used.update(keys.values())
    mine = ranks.share(lacking)

    def compute() -> None:
        for i in track(mine, "making masks from boxes"):
            if not cache.holds(keys[i]):
                cache.write(keys[i], vars(by.masks(photos[i].read(), _boxes(photos[i], classes))))

    ranks.together(compute)
    made = list(photos)
    for i in lacking:
        found = BoxMasks(**cache.read(keys[i]))
        good = trusted(found) if method == "auto" else torch.ones(len(found.masks), dtype=torch.bool)
        made[i] = _with_masks(photos[i], classes, found.masks.numpy(), good.tolist())
    return tuple(made)


def count_made(photos: Iterable[Photo], classes: Collection[str]) -> dict[str, MadeMasks]:
    """What became of the objects without annotated masks, by class; classes without any are left out."""
    made, lacking = Counter[str](), Counter[str]()
    for item in (a for photo in photos for a in photo.annotations):
        made[item.category] += item.mask_made
        lacking[item.category] += lacks_mask(item, classes)
    return {c: MadeMasks(made[c] + lacking[c], made[c]) for c in classes if made[c] + lacking[c]}


def trusted(found: BoxMasks) -> torch.Tensor:
    """Which masks [N] are good enough to learn from."""
    return (found.agreement >= LEAST_AGREEMENT) & (found.lacking <= MOST_SHIFT)


def _boxes(photo: Photo, classes: Collection[str]) -> np.ndarray:
    """The boxes [N, 4], xyxy, of the objects that lack masks."""
    boxes = np.array([a.bbox for a in photo.annotations if lacks_mask(a, classes)], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _key(by: MaskMaker, photo: Photo, boxes: np.ndarray) -> str:
    return entry_key(make_masks, [by.key, sha256(photo.path), boxes.tolist()])


def _with_masks(photo: Photo, classes: Collection[str], masks: np.ndarray, good: Sequence[bool]) -> Photo:
    """The photo with the good ones of the masks [N, m, m]."""
    size = photo.height, photo.width
    offered = iter(zip(encode(masks, _boxes(photo, classes), size), good, strict=True))
    annotations = []
    for item in photo.annotations:
        if lacks_mask(item, classes):
            rle, is_good = next(offered)
            mask = coco_mask.merge([rle, *coco_mask.frPyObjects(np.array([item.bbox]), *size)], intersect=True)
            if is_good and coco_mask.area(mask):
                mask["counts"] = mask["counts"].decode("ascii")
                item = dataclasses.replace(item, segmentation=mask, mask_made=True)
        annotations.append(item)
    return dataclasses.replace(photo, annotations=tuple(annotations))

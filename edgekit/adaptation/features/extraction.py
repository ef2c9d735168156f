"""The training set: every view's features, computed once by the frozen trunk and kept in the cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torchvision.models.detection._utils import BoxCoder

from edgekit.adaptation.features.feature_cache import FeatureCache
from edgekit.adaptation.features.frozen_trunk import Trunk
from edgekit.adaptation.features.rois import ViewFeatures, view_features
from edgekit.adaptation.features.views import plain_view, varied_view
from edgekit.data.annotations.dataset import Photo
from edgekit.files.code_digest import entry_key
from edgekit.files.whole_files import sha256
from edgekit.processes import Processes
from edgekit.progress import Track, silent


@dataclass(frozen=True)
class PhotoFeatures:
    """A photo's views in the cache, the plain one first."""

    cache: FeatureCache
    keys: tuple[str, ...]

    def load(self, view: int) -> ViewFeatures:
        """View ``view`` modulo the number of views."""
        return ViewFeatures(**self.cache.read(self.keys[view % len(self.keys)]))


@dataclass(frozen=True)
class Extractor:
    """What turns photos into features: the frozen trunk, the classes to learn by label, and the canvas's size.

    Of the classes, those with labels from ``first_mask`` on teach masks.
    """

    trunk: Trunk
    coder: BoxCoder
    labels: Mapping[str, int]
    size: tuple[int, int]
    seed: int
    first_mask: int = 1


def extract(
    photos: Sequence[Photo],
    views: int,
    by: Extractor,
    cache: FeatureCache,
    ranks: Processes,
    track: Track = silent,
    what: str = "computing RoI features",
) -> list[PhotoFeatures]:
    """Compute what the cache lacks of ``views`` views of every photo, and return where it all is.

    A view depends on the photo's bytes, what is annotated in it, the trunk and the seed, and on no other photo.
    """
    identities = [_identity(photo, by.labels) for photo in photos]
    keys = [
        tuple(_key(by, photo, identity, view) for view in range(views))
        for photo, identity in zip(photos, identities, strict=True)
    ]
    cache.used.update(key for photo_keys in keys for key in photo_keys)  # those that other processes write, too
    mine = ranks.share(list(zip(photos, identities, keys, strict=True)))

    def compute() -> None:
        for photo, identity, photo_keys in track(mine, what):
            missing = [i for i, key in enumerate(photo_keys) if not cache.holds(key)]
            if not missing:
                continue
            plain = plain_view(photo, by.labels, by.size)
            for i in missing:
                rng = np.random.default_rng([by.seed, int(identity[:12], 16), i])
                view = varied_view(plain, rng) if i else plain
                cache.write(photo_keys[i], vars(view_features(by.trunk, by.coder, view, rng, by.first_mask)))

    ranks.together(compute)
    return [PhotoFeatures(cache, photo_keys) for photo_keys in keys]


def _identity(photo: Photo, labels: Mapping[str, int]) -> str:
    """A digest of a photo's bytes and of what is learned from it."""
    rows: list[Any] = [
        (labels[a.category], a.bbox, a.segmentation, a.iscrowd, *(["made"] if a.mask_made else []))
        for a in photo.annotations
        if a.category in labels
    ]
    text = json.dumps([sha256(photo.path), rows], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _key(by: Extractor, photo: Photo, identity: str, view: int) -> str:
    # Where only classes with masks to learn are annotated, the draws are the same whatever the other labels are.
    others = any(by.labels.get(a.category, by.first_mask) < by.first_mask for a in photo.annotations)
    return entry_key(extract, [by.trunk.key, identity, view, by.seed if view else 0, by.first_mask * others])

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


def extract(
    trunk: Trunk,
    coder: BoxCoder,
    photos: Sequence[Photo],
    labels: Mapping[str, int],
    size: tuple[int, int],
    views: int,
    seed: int,
    cache: FeatureCache,
    ranks: Processes,
    track: Track = silent,
    what: str = "computing RoI features",
    first_mask: int = 1,
) -> list[PhotoFeatures]:
    """Compute what the cache lacks of ``views`` views of every photo, and return where it all is.

    ``labels`` names the classes to learn with their labels, of which those from ``first_mask`` on teach masks. A view
    depends on the photo's bytes, what is annotated in it, the trunk and the seed, and on no other photo.
    """
    identities = [_identity(photo, labels) for photo in photos]
    # Where only classes with masks to learn are annotated, the draws are the same whatever the other labels are.
    firsts = [first_mask * any(labels.get(a.category, first_mask) < first_mask for a in p.annotations) for p in photos]
    keys = [
        tuple(_key(trunk, identity, view, seed, first) for view in range(views))
        for identity, first in zip(identities, firsts, strict=True)
    ]
    cache.used.update(key for photo_keys in keys for key in photo_keys)  # those that other processes write, too
    mine = ranks.share(list(zip(photos, identities, keys, strict=True)))

    def compute() -> None:
        for photo, identity, photo_keys in track(mine, what):
            missing = [i for i, key in enumerate(photo_keys) if not cache.holds(key)]
            if not missing:
                continue
            plain = plain_view(photo, labels, size)
            for i in missing:
                rng = np.random.default_rng([seed, int(identity[:12], 16), i])
                view = varied_view(plain, rng) if i else plain
                cache.write(photo_keys[i], view_features(trunk, coder, view, rng, first_mask).tensors())

    ranks.together(compute)
    return [PhotoFeatures(cache, photo_keys) for photo_keys in keys]


def _identity(photo: Photo, labels: Mapping[str, int]) -> str:
    """A digest of a photo's bytes and of what is learned from it."""
    rows: list[Any] = [
        (labels[a.category], a.bbox, a.segmentation, a.iscrowd) for a in photo.annotations if a.category in labels
    ]
    text = json.dumps([sha256(photo.path), rows], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _key(trunk: Trunk, identity: str, view: int, seed: int, first_mask: int) -> str:
    return entry_key(extract, [trunk.key, identity, view, seed if view else 0, first_mask])

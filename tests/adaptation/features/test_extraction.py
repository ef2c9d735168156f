from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.adaptation.bases import open_base
from edgekit.adaptation.features.extraction import Extractor, PhotoFeatures, extract
from edgekit.adaptation.features.feature_cache import FeatureCache
from edgekit.adaptation.features.frozen_trunk import Trunk
from edgekit.adaptation.features.rois import IGNORED, view_features
from edgekit.adaptation.features.views import plain_view
from edgekit.data.annotations.dataset import Dataset, Photo
from edgekit.errors import EdgekitError
from edgekit.processes import Processes
from edgekit.progress import silent
from edgekit.runtime.gpu import nvidia_device

LABELS = {"chicken": 13, "frog": 14}
SIZE = (320, 320)


@pytest.fixture(scope="module")
def trunks(cache: Path) -> dict[str, Trunk]:
    base = open_base("demo")
    return {kind: base.trunk(kind, cache, silent) for kind in ("onnx", "torch")}


class Counting:
    """A trunk that counts its runs and fails after some."""

    def __init__(self, trunk: Trunk, most: int = 1000) -> None:
        self.trunk, self.most, self.runs = trunk, most, 0
        self.key, self.runtime = trunk.key, trunk.runtime
        self.box_features, self.mask_features = trunk.box_features, trunk.mask_features

    def look(self, pixels: np.ndarray) -> object:
        if self.runs == self.most:
            raise KeyboardInterrupt
        self.runs += 1
        return self.trunk.look(pixels)


def computed(trunk: object, photos: tuple[Photo, ...], folder: Path) -> list[PhotoFeatures]:
    coder = open_base("demo").heads.box_coder
    by = Extractor(trunk, coder, LABELS, SIZE, seed=0)  # type: ignore[arg-type]
    return extract(photos, 2, by, FeatureCache(folder, 1.0), Processes())


def test_both_runtimes_give_the_same_training_set(trunks: dict[str, Trunk], new_train: Dataset) -> None:
    coder = open_base("demo").heads.box_coder
    for photo in new_train.photos[:3]:
        view = plain_view(photo, LABELS, SIZE)
        onnx, torch_ = (view_features(t, coder, view, np.random.default_rng(0)) for t in trunks.values())
        assert torch.equal(onnx.labels, torch_.labels)
        assert torch.equal(onnx.mask_labels, torch_.mask_labels)
        assert torch.allclose(onnx.rois, torch_.rois, atol=1e-2)
        for name in ("deltas", "box", "mask", "mask_targets"):
            a, b = getattr(onnx, name).float(), getattr(torch_, name).float()
            assert torch.allclose(a, b, atol=2e-2, rtol=1e-2), name


@pytest.mark.skipif(nvidia_device(), reason="there is an NVIDIA GPU")
def test_a_provider_that_is_not_there_is_named(trunks: dict[str, Trunk], cache: Path) -> None:
    assert trunks["onnx"].runtime == "onnxruntime cpu"
    with pytest.raises(EdgekitError, match="TensorrtExecutionProvider"):
        open_base("demo").trunk("tensorrt", cache, silent)


def test_an_interrupted_run_goes_on(trunks: dict[str, Trunk], new_train: Dataset, tmp_path: Path) -> None:
    interrupted = Counting(trunks["onnx"], most=5)
    with pytest.raises(KeyboardInterrupt):
        computed(interrupted, new_train.photos, tmp_path)
    rest = Counting(trunks["onnx"])
    features = computed(rest, new_train.photos, tmp_path)
    assert rest.runs == 2 * len(new_train.photos) - 5
    again = Counting(trunks["onnx"])
    computed(again, new_train.photos, tmp_path)
    assert again.runs == 0
    assert (features[0].load(0).labels > 0).any()


def test_only_what_changed_is_computed_again(trunks: dict[str, Trunk], new_train: Dataset, tmp_path: Path) -> None:
    computed(trunks["onnx"], new_train.photos, tmp_path)
    copied = tmp_path / "other.jpg"
    copied.write_bytes(new_train.photos[1].path.read_bytes())
    first, second, third, *others = new_train.photos
    changed = (
        dataclasses.replace(first, annotations=first.annotations[1:]),
        dataclasses.replace(second, path=copied),  # the same photo under another name
        dataclasses.replace(third, path=first.path),  # another photo under the same annotations
        *others,
    )
    counting = Counting(trunks["onnx"])
    computed(counting, changed, tmp_path)
    assert counting.runs == 4


def test_crowds_say_nothing(trunks: dict[str, Trunk], new_train: Dataset) -> None:
    photo = new_train.photos[0]
    crowd = dataclasses.replace(photo.annotations[0], iscrowd=True)
    view = plain_view(dataclasses.replace(photo, annotations=(crowd,)), LABELS, SIZE)
    found = view_features(trunks["onnx"], open_base("demo").heads.box_coder, view, np.random.default_rng(0))
    assert (found.labels == IGNORED).any()
    assert not (found.labels > 0).any()


def test_photos_without_objects_are_negatives(trunks: dict[str, Trunk], new_train: Dataset) -> None:
    view = plain_view(dataclasses.replace(new_train.photos[0], annotations=()), LABELS, SIZE)
    found = view_features(trunks["onnx"], open_base("demo").heads.box_coder, view, np.random.default_rng(0))
    assert (found.labels == 0).all()
    assert len(found.mask) == 0

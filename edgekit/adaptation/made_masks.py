"""Masks made of boxes: those that an adaptation learns from, and those of a dataset for whoever wants to see them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from edgekit.adaptation.bases import Adaptable
from edgekit.adaptation.features.feature_cache import FeatureCache, FeatureStore
from edgekit.adaptation.features.frozen_trunk import Trunk
from edgekit.adaptation.inputs import Inputs
from edgekit.adaptation.learning.learning_options import Learning
from edgekit.adaptation.mask_making.base_masks import MaskMaker
from edgekit.adaptation.mask_making.boxes_only import count_made, make_masks
from edgekit.data.annotations.dataset import Dataset
from edgekit.processes import Processes
from edgekit.progress import Track, silent


def inputs_with_masks(
    base: Adaptable,
    inputs: Inputs,
    classes: Collection[str],
    learning: Learning,
    trunk: Trunk,
    cache: FeatureCache,
    ranks: Processes,
    track: Track,
) -> Inputs:
    """The inputs with masks made for the objects of ``classes`` to learn from that have a box but no mask."""
    if base.predictors.mask_predictor is None or learning.masks_from_boxes == "none":
        return inputs
    by, method = MaskMaker(trunk, base.predictors, base.meta.input_size), learning.masks_from_boxes
    learn, replay = (
        make_masks(photos, classes, by, cache, ranks, method, track) for photos in (inputs.learn, inputs.replay)
    )
    made = count_made((*learn, *replay), classes)
    return dataclasses.replace(inputs, learn=learn, replay=replay, made_masks=made)


def dataset_with_masks(
    base: Adaptable,
    dataset: Dataset,
    method: str = "auto",
    runtime: str = "onnx",
    store: FeatureStore = FeatureStore(),
    track: Track = silent,
) -> Dataset:
    """The dataset with masks for the objects that have a box but no mask, as ``--masks-from-boxes METHOD`` makes them.

    These have ``mask_made``; what cannot be trusted stays without a mask. ``runtime`` is what runs the trunk
    (``--trunk``). With a base model without masks the dataset stays as it is.
    """
    if base.predictors.mask_predictor is None:
        return dataset
    by = MaskMaker(base.trunk(runtime, store.folder, track), base.predictors, base.meta.input_size)
    classes = set(dataset.categories)
    photos = make_masks(dataset.photos, classes, by, store.features(), Processes(), method, track)
    return dataclasses.replace(dataset, photos=photos)

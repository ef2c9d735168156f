"""The masks that an adaptation would make of a dataset's boxes, for whoever wants to see them first."""

from __future__ import annotations

import dataclasses

from edgekit.adaptation.bases import Adaptable
from edgekit.adaptation.features.feature_cache import FeatureStore
from edgekit.adaptation.mask_making.base_masks import MaskMaker
from edgekit.adaptation.mask_making.boxes_only import make_masks
from edgekit.data.annotations.dataset import Dataset
from edgekit.processes import Processes
from edgekit.progress import Track, silent


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

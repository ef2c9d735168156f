"""How good the new rows are on held-out photos, from cached features: which epoch to keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection.roi_heads import RoIHeads

from edgekit.adaptation.features.extraction import PhotoFeatures
from edgekit.adaptation.features.rois import IGNORED, ViewFeatures
from edgekit.artifacts.metadata import BACKGROUND, ModelMeta
from edgekit.data.annotations.dataset import Annotation, Dataset, Photo
from edgekit.data.detections import Detections
from edgekit.errors import EdgekitError
from edgekit.measurement.evaluate import score
from edgekit.model.predictors import Predictors


def scorer(
    predictors: Predictors, heads: RoIHeads, photos: Sequence[PhotoFeatures], size: tuple[int, int], masks_train: bool
) -> Callable[[], float]:
    """A function that scores the last generation's rows on the photos' plain views: its classes' box AP, plus the mean
    IoU of the masks of annotated objects' RoIs where masks train."""
    first = predictors.first_label(len(predictors.generations))
    names = tuple(f"class {i}" for i in range(predictors.generations[-1].classes))
    meta = ModelMeta("", ((BACKGROUND, *names),), size)
    views = [p.load(0) for p in photos]
    shown = tuple(Photo(i, Path(), *size, _objects(view, names, first)) for i, view in enumerate(views, start=1))
    dataset = Dataset(Path("held-out photos"), names, shown)

    def found(view: ViewFeatures) -> Detections:
        kept = view.labels != IGNORED
        *_, (logits, deltas) = predictors.box_predictions(view.box[kept].float())
        (boxes,), (scores,), (labels,) = heads.postprocess_detections(logits, deltas, [view.rois[kept]], [size])
        masks = np.zeros((len(scores), 0, 0), np.float32)
        return Detections(boxes.numpy(), labels.numpy(), scores.numpy(), masks, size)

    @torch.no_grad()
    def held_out() -> float:
        try:
            precision = score(dataset, dataset.photos, [found(view) for view in views], meta).box.AP
        except EdgekitError:  # no new object is in these photos
            precision = 0.0
        overlaps = [v for view in views if (v := _mask_iou(predictors, view, first)) is not None] if masks_train else []
        return precision + (float(np.mean(overlaps)) if overlaps else 0.0)

    return held_out


def _objects(view: ViewFeatures, names: Sequence[str], first: int) -> tuple[Annotation, ...]:
    """The objects of the classes from label ``first`` on, as annotations of the canvas."""
    return tuple(
        Annotation(names[label - first], (x0, y0, x1 - x0, y1 - y0), (x1 - x0) * (y1 - y0), None)
        for (x0, y0, x1, y1), label in zip(view.objects.tolist(), view.object_labels.tolist(), strict=True)
        if label >= first
    )


def _mask_iou(predictors: Predictors, view: ViewFeatures, first: int) -> float | None:
    """The mean IoU of the last generation's masks with the annotated ones; None where there are none."""
    own = view.mask_labels >= first
    if not own.any():
        return None
    logits = predictors.mask_logits(view.mask[own].float(), len(predictors.generations))
    predicted = logits[torch.arange(int(own.sum())), view.mask_labels[own] - first] > 0
    true = view.mask_targets[own] > 0.5
    shared = (predicted & true).sum((1, 2)) / (predicted | true).sum((1, 2)).clamp(min=1)
    return float(shared.mean())


def proposed_objects(photos: Sequence[PhotoFeatures], labels: dict[str, int]) -> dict[str, int]:
    """How many of each class's annotated objects the frozen RPN proposes (IoU >= 0.5), on the plain views.

    An object too small to be seen on the canvas is none of them.
    """
    views = [p.load(0) for p in photos]
    seen = torch.cat([v.object_labels[v.proposed >= 0.5] for v in views])
    return {name: int((seen == label).sum()) for name, label in labels.items()}

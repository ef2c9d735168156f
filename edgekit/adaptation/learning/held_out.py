"""How good the new rows are on held-out photos, from cached features: which epoch to keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection.roi_heads import RoIHeads

from edgekit.adaptation.features.extraction import PhotoFeatures
from edgekit.adaptation.features.rois import IGNORED
from edgekit.artifacts.metadata import BACKGROUND, ModelMeta
from edgekit.data.annotations.dataset import Annotation, Dataset, Photo
from edgekit.data.detections import Detections
from edgekit.errors import EdgekitError
from edgekit.measurement.evaluate import score
from edgekit.model.predictors import Predictors

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


def scorer(
    predictors: Predictors,
    heads: RoIHeads,
    photos: Sequence[PhotoFeatures],
    size: tuple[int, int],
    masks_train: bool,
) -> Callable[[], float]:
    """A function that scores the last generation's rows on the photos' plain views: its classes' box AP, plus the mean
    IoU of the masks of annotated objects' RoIs where masks train."""
    number = len(predictors.generations)
    first, classes = predictors.first_label(number), predictors.generations[-1].classes
    names = tuple(f"class {i}" for i in range(classes))
    meta = ModelMeta("", ((BACKGROUND, *names),), size)
    views = [p.load(0) for p in photos]
    truth = []
    for index, view in enumerate(views, start=1):
        objects = [
            Annotation(names[label - first], (x0, y0, x1 - x0, y1 - y0), (x1 - x0) * (y1 - y0), None)
            for (x0, y0, x1, y1), label in zip(view.objects.tolist(), view.object_labels.tolist(), strict=True)
            if label >= first
        ]
        truth.append(Photo(index, Path(), *size, tuple(objects)))
    dataset = Dataset(Path("held-out photos"), names, tuple(truth))

    @torch.no_grad()
    def held_out() -> float:
        found = []
        overlaps = []
        for view in views:
            kept = view.labels != IGNORED
            *_, (logits, deltas) = predictors.box_predictions(view.box[kept].float())
            (boxes,), (scores,), (labels,) = heads.postprocess_detections(logits, deltas, [view.rois[kept]], [size])
            found.append(
                Detections(
                    boxes.numpy(), labels.numpy(), scores.numpy(), np.zeros((len(scores), 0, 0), np.float32), size
                )
            )
            own = view.mask_labels >= first
            if masks_train and own.any():
                mask_logits = predictors.mask_logits(view.mask[own].float(), number)
                predicted = mask_logits[torch.arange(int(own.sum())), view.mask_labels[own] - first] > 0
                true = view.mask_targets[own] > 0.5
                shared = (predicted & true).sum((1, 2)) / (predicted | true).sum((1, 2)).clamp(min=1)
                overlaps.append(shared.mean().item())
        try:
            precision = score(dataset, dataset.photos, found, meta).box.AP
        except EdgekitError:  # no new object is in these photos
            precision = 0.0
        return precision + (float(np.mean(overlaps)) if overlaps else 0.0)

    return held_out


def proposed_objects(photos: Sequence[PhotoFeatures], labels: dict[str, int]) -> dict[str, int]:
    """How many of each class's annotated objects the frozen RPN proposes (IoU >= 0.5), on the plain views.

    An object too small to be seen on the canvas is none of them.
    """
    views = [p.load(0) for p in photos]
    seen = torch.cat([v.object_labels[v.proposed >= 0.5] for v in views])
    return {name: int((seen == label).sum()) for name, label in labels.items()}

"""What a model says of one photo's annotated objects, and what else it finds in the photo."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torchvision.models.detection.roi_heads import RoIHeads

from edgekit.adaptation.features.rois import IGNORED, ViewFeatures
from edgekit.model.predictors import Predictors


@dataclass(frozen=True)
class Judgement:
    """N annotated objects and D detections of a view, in pixels of the canvas; labels are the model's."""

    boxes: torch.Tensor  # float32 [N, 4] xyxy, the annotated objects
    labels: torch.Tensor  # int64 [N]
    probabilities: torch.Tensor  # float32 [N, 1 + classes] of each label in its own softmax; column 0 is empty
    proposed: torch.Tensor  # float32 [N], the best IoU of a proposal with each object
    found: torch.Tensor  # float32 [D, 4]
    found_labels: torch.Tensor  # int64 [D]
    scores: torch.Tensor  # float32 [D]


@torch.no_grad()
def judge_photo(predictors: Predictors, heads: RoIHeads, view: ViewFeatures, size: tuple[int, int]) -> Judgement:
    """Run the predictors on a view's cached features; its first RoIs are the annotated objects."""
    count = len(view.objects)
    kept = view.labels != IGNORED
    rois, features = view.rois[kept], view.box[kept].float()
    probabilities = [torch.zeros(count, 1)]
    found, labels, scores = [], [], []
    for number, (logits, deltas) in enumerate(predictors.box_predictions(features)):
        probabilities.append(logits[:count].softmax(dim=1)[:, 1:])
        (boxes,), (surety,), (columns,) = heads.postprocess_detections(logits, deltas, [rois], [size])
        found.append(boxes)
        scores.append(surety)
        labels.append(columns + max(0, predictors.first_label(number) - 1))  # an added generation has no background
    return Judgement(
        boxes=view.objects,
        labels=view.object_labels,
        probabilities=torch.cat(probabilities, dim=1),
        proposed=view.proposed,
        found=torch.cat(found),
        found_labels=torch.cat(labels),
        scores=torch.cat(scores),
    )

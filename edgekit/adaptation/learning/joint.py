"""Generations merged into one predictor: torchvision's layout, where all classes share one softmax."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor

from edgekit.model.predictors import Predictors


def merge(predictors: Predictors) -> Predictors:
    """A copy whose base predictors have the rows of all generations; adapters have no place in it."""
    box = predictors.box_predictor
    classes = predictors.first_label(len(predictors.generations) + 1)
    merged_box = FastRCNNPredictor(box.cls_score.in_features, classes)
    _fill(merged_box.cls_score, [box.cls_score, *(g.cls_score for g in predictors.generations)])
    _fill(merged_box.bbox_pred, [box.bbox_pred, *(g.bbox_pred for g in predictors.generations)])
    mask = predictors.mask_predictor
    if mask is None:
        return Predictors(merged_box, None)
    assert predictors.mask_channels is not None
    merged_mask = MaskRCNNPredictor(*predictors.mask_channels, classes)
    merged_mask.conv5_mask.load_state_dict(mask.conv5_mask.state_dict())
    added = [g.mask_fcn_logits for g in predictors.generations if g.mask_fcn_logits is not None]
    _fill(merged_mask.mask_fcn_logits, [mask.mask_fcn_logits, *added])
    return Predictors(merged_box, merged_mask)


def merged_model(model: FasterRCNN, predictors: Predictors) -> FasterRCNN:
    """A copy of a torchvision model with the merged predictors in place of its own."""
    merged = merge(predictors)
    model = copy.deepcopy(model)
    model.roi_heads.box_predictor = merged.box_predictor
    if merged.mask_predictor is not None:
        model.roi_heads.mask_predictor = merged.mask_predictor
    return model


def _fill(layer: nn.Module, parts: list[nn.Module]) -> None:
    with torch.no_grad():
        for kind in ("weight", "bias"):
            layer.get_parameter(kind).copy_(torch.cat([p.get_parameter(kind) for p in parts]))

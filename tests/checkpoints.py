"""Checkpoints of torchvision's architectures with random weights that detect something."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import nn
from torchvision.models import get_model_builder
from torchvision.models.detection import FasterRCNN

from edgekit.data.images import SAMPLE_PHOTOS, fit, list_images, read_image
from edgekit.model.generations import normalise

SIZE = (128, 160)
MASKRCNN, FASTERRCNN = "maskrcnn_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn"


@cache
def random_detector(name: str, classes: int = 5) -> FasterRCNN:
    """torchvision's model without pretrained weights that detects something."""
    torch.manual_seed(0)
    return seeing(get_model_builder(name)(weights=None, weights_backbone=None, num_classes=classes))


def seeing(model: FasterRCNN) -> FasterRCNN:
    """A model with random weights in eval mode, its scores spread by what it sees in the sample photos."""
    photos = [read_image(p) for p in list_images(SAMPLE_PHOTOS)]
    canvases = torch.stack([torch.tensor(fit(p, SIZE).pixels) for p in photos])
    images = normalise(canvases, model.transform.image_mean, model.transform.image_std)
    with torch.no_grad():
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = 1.0
        model.train().backbone(images)  # sets the batch norms' statistics
        model.eval()
        features = model.backbone(images)
        levels = list(features.values())
        _spread(model.rpn.head.cls_logits, torch.cat([v.flatten() for v in model.rpn.head(levels)[0]]))
        boxes = torch.rand(60, 4) * 60
        boxes[:, 2:] += boxes[:, :2] + 4
        heads = model.roi_heads
        inner = heads.box_head(heads.box_roi_pool(features, [boxes] * len(photos), [SIZE] * len(photos)))
        _spread(heads.box_predictor.cls_score, heads.box_predictor(inner)[0], 3.0)
        heads.box_predictor.cls_score.bias[0] += 5.0  # most proposals are background
        _spread(heads.box_predictor.bbox_pred, heads.box_predictor(inner)[1], 0.5)
    return model.eval()


def write(model: FasterRCNN, path: Path) -> Path:
    """Save a model's state dict."""
    torch.save(model.state_dict(), path)
    return path


def _spread(layer: nn.Linear | nn.Conv2d, outputs: torch.Tensor, deviation: float = 1.5) -> None:
    """Scale a layer so that ``outputs``, which it gave, are about 0 with this standard deviation."""
    assert layer.bias is not None
    layer.weight *= deviation / outputs.std()
    layer.bias -= layer.bias + outputs.mean() * deviation / outputs.std()

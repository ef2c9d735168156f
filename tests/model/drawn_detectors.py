"""torchvision detectors drawn at random over what people set: bodies, levels, anchors, widths, thresholds, means."""

from __future__ import annotations

import random

import torch
from torchvision.models import mobilenet_v2, mobilenet_v3_small
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.backbone_utils import BackboneWithFPN, mobilenet_backbone, resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import AnchorGenerator, RPNHead
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from tests.checkpoints import seeing

COUNT = 40
RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "wide_resnet50_2")


def drawn_detector(seed: int) -> FasterRCNN:
    """A detector of 2 to 6 classes with the background, which detects something in the sample photos."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    backbone = _backbone(rng)
    channels, levels = backbone.out_channels, len(backbone.fpn.inner_blocks) + 1
    names = [str(i) for i in range(levels - 1)]
    ratios = rng.choice([(0.5, 1.0, 2.0), (1.0,), (0.33, 1.0, 3.0, 4.5)])
    sizes = tuple(
        tuple(rng.choice([16, 24, 40]) * 2**i * s for s in rng.choice([(1,), (1, 1.5)])[:1]) for i in range(levels)
    )
    several = rng.random() < 0.3
    sizes = tuple((s[0], 1.5 * s[0]) if several else s for s in sizes)
    classes, features = rng.randint(2, 6), rng.choice([32, 64])
    bins = rng.choice([5, 7, 7])
    convolutions = rng.random() < 0.25
    parts = {
        "rpn_anchor_generator": AnchorGenerator(sizes, (ratios,) * levels),
        "rpn_head": RPNHead(channels, len(ratios) * len(sizes[0]), rng.choice([1, 1, 2])),
        "rpn_pre_nms_top_n_test": rng.choice([50, 200]),
        "rpn_post_nms_top_n_test": rng.choice([20, 60]),
        "rpn_nms_thresh": rng.choice([0.5, 0.7, 0.9]),
        "rpn_score_thresh": rng.choice([0.0, 0.0, 0.05]),
        "box_roi_pool": MultiScaleRoIAlign(names, bins, rng.choice([1, 2, 2, 3])),
        "box_head": FastRCNNConvFCHead((channels, bins, bins), [24, 16], [features], torch.nn.BatchNorm2d)
        if convolutions
        else TwoMLPHead(channels * bins**2, features),
        "box_predictor": FastRCNNPredictor(features, classes),
        "box_score_thresh": rng.choice([0.05, 0.2]),
        "box_nms_thresh": rng.choice([0.3, 0.5, 0.8]),
        "box_detections_per_img": rng.choice([5, 100, 300]),
        "bbox_reg_weights": rng.choice([None, (1.0, 1.0, 1.0, 1.0), (5.0, 5.0, 2.0, 2.0)]),
        "image_mean": rng.choice([None, [0.5, 0.5, 0.5], [0.0, 0.1, 0.2]]),
        "image_std": rng.choice([None, [0.5, 0.5, 0.5], [1.0, 0.9, 0.8]]),
        "min_size": rng.choice([320, 800]),
    }
    if rng.random() < 0.4:
        return _surer(seeing(FasterRCNN(backbone, **parts)))
    widths = rng.choice([(32,), (24, 16), (16, 16, 16, 16)])
    hidden = rng.choice([8, 32])
    masks = {
        "mask_roi_pool": MultiScaleRoIAlign(names, 14, parts["box_roi_pool"].sampling_ratio),
        "mask_head": MaskRCNNHeads(channels, widths, 1, torch.nn.BatchNorm2d if convolutions else None),
        "mask_predictor": MaskRCNNPredictor(widths[-1], hidden, classes),
    }
    return _surer(seeing(MaskRCNN(backbone, **parts, **masks)))


def _surer(model: FasterRCNN) -> FasterRCNN:
    """The model with less of a liking for the background."""
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.bias[0] -= 4.0
    return model


def _backbone(rng: random.Random) -> BackboneWithFPN:
    norm = FrozenBatchNorm2d if rng.random() < 0.3 else torch.nn.BatchNorm2d
    kind = rng.choice([*RESNETS, "mobile", "mobile", "small"])
    if kind == "mobile":
        name = rng.choice(["mobilenet_v2", "mobilenet_v3_large"])
        returned = rng.choice([None, [2, 3, 4], [1, 3]])
        return mobilenet_backbone(backbone_name=name, weights=None, fpn=True, norm_layer=norm, returned_layers=returned)
    if kind == "small":
        body, taken = rng.choice(
            [(mobilenet_v2, {"3": 24, "6": 32, "13": 96}), (mobilenet_v3_small, {"3": 24, "8": 48, "12": 576})]
        )
        levels = {level: str(i) for i, level in enumerate(taken)}
        return BackboneWithFPN(body(norm_layer=norm).features, levels, list(taken.values()), rng.choice([32, 64]))
    returned = rng.choice([None, [2, 3], [2, 3, 4]])
    return resnet_fpn_backbone(backbone_name=kind, weights=None, norm_layer=norm, returned_layers=returned)

"""The detectors edgekit builds, as plain torchvision modules."""

from __future__ import annotations

from collections.abc import Container
from functools import partial

import torch
from torch import nn
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import AnchorGenerator, RPNHead
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from edgekit.artifacts.detector_settings import DetectorSettings
from edgekit.model.anchors import Anchors
from edgekit.model.box_coders import SymmetricBoxCoder
from edgekit.model.roi_pooling import RoIPooling
from edgekit.model.score_ranked_rpn import ScoreRankedRPN
from edgekit.model.structure.bodies import backbone_of

# Mask R-CNN for small pictures (320x320): MobileNetV2, FPN of 96 channels at strides 8 to 64, slim heads.
SMALL = DetectorSettings(
    body="mobilenet_v2",
    levels=("6", "13", "18"),  # the last block at each of the strides 8, 16 and 32
    fpn_channels=96,
    anchor_sizes=((32.0,), (64.0,), (128.0,), (224.0,)),
    anchor_ratios=((0.5, 1.0, 2.0),) * 4,
    rpn_pre_nms=100,
    rpn_post_nms=64,
    roi_levels=("0", "1", "2"),
    box_features=512,
    mask_convs=(64, 64),
    mask_hidden=64,
    detections=6,
    min_side=320,
    max_side=320,
)


def build_detector(settings: DetectorSettings, num_classes: int) -> FasterRCNN:
    """A detector with random weights; ``num_classes`` counts the background, as in torchvision."""
    s, norm = settings, nn.BatchNorm2d
    backbone = backbone_of(s)
    box_head: nn.Module
    if s.box_convs:
        size = (s.fpn_channels, s.box_bins, s.box_bins)
        box_head = FastRCNNConvFCHead(size, list(s.box_convs), [s.box_features], norm if s.box_norms else None)
    else:
        box_head = TwoMLPHead(s.fpn_channels * s.box_bins**2, s.box_features)
    parts = {
        "rpn_anchor_generator": anchors_of(s),
        "rpn_head": RPNHead(s.fpn_channels, s.anchors_per_cell[0], s.rpn_convs),
        "box_roi_pool": _roi_pool(s, s.box_bins),
        "box_head": box_head,
        "box_predictor": FastRCNNPredictor(s.box_features, num_classes),
    }
    numbers = {
        "image_mean": list(s.mean),
        "image_std": list(s.std),
        "min_size": s.min_side,
        "max_size": s.max_side,
        "rpn_pre_nms_top_n_test": s.rpn_pre_nms,
        "rpn_post_nms_top_n_test": s.rpn_post_nms,
        "rpn_nms_thresh": s.rpn_nms,
        "rpn_score_thresh": s.rpn_score_threshold,
        "box_score_thresh": s.score_threshold,
        "box_nms_thresh": s.nms_threshold,
        "box_detections_per_img": s.detections,
        "bbox_reg_weights": s.box_weights,
    }
    if s.masks:
        mask_parts = {
            "mask_roi_pool": _roi_pool(s, s.mask_bins),
            "mask_head": MaskRCNNHeads(s.fpn_channels, s.mask_convs, 1, norm if s.mask_norms else None),
            "mask_predictor": MaskRCNNPredictor(s.mask_convs[-1], s.mask_hidden, num_classes),
        }
        model: FasterRCNN = MaskRCNN(backbone, **parts, **mask_parts, **numbers)
    else:
        model = FasterRCNN(backbone, **parts, **numbers)
    if s.rpn_by_score:
        model.rpn = ScoreRankedRPN.like(model.rpn)
    model.rpn.min_size = s.rpn_min_size
    if s.symmetric_clamp:
        model.rpn.box_coder = SymmetricBoxCoder((1.0, 1.0, 1.0, 1.0))
        model.roi_heads.box_coder = SymmetricBoxCoder(s.box_weights)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = s.norm_eps
    return model


def without_weights(settings: DetectorSettings, num_classes: int, tensors: Container[str] = ()) -> FasterRCNN:
    """A detector in eval mode whose tensors have shapes but no values yet (``torch.device("meta")``); its batch norms
    are frozen as in ``freeze_norms``."""
    with torch.device("meta"):
        base = freeze_norms(build_detector(settings, num_classes), tensors)
    base.rpn.anchor_generator = anchors_of(settings)  # its anchors are no parameters and would stay without values
    return base.eval()


def freeze_norms(model: FasterRCNN, tensors: Container[str] = ()) -> FasterRCNN:
    """Turn the batch norms that count no batches in ``tensors``, the names in a state dict, into FrozenBatchNorm2d, as
    torchvision has them with pretrained weights."""
    for name, module in list(model.named_modules()):
        for child_name, child in module.named_children():
            counts = f"{name}.{child_name}.num_batches_tracked"
            if isinstance(child, nn.BatchNorm2d) and counts not in tensors:
                setattr(module, child_name, FrozenBatchNorm2d(child.num_features, child.eps))
    return model


def anchors_of(settings: DetectorSettings) -> AnchorGenerator:
    """The anchors of each level."""
    sizes, ratios = settings.anchor_sizes, settings.anchor_ratios
    rounded, offset, strides = settings.anchors_rounded, settings.anchor_offset, settings.anchor_strides or None
    if rounded and not offset and strides is None:
        return AnchorGenerator(sizes, ratios)
    return Anchors(sizes, ratios, rounded=rounded, strides=strides, offset=offset)


def limit(base: FasterRCNN, proposals: int | None, detections: int | None) -> None:
    """Set how many proposals and detections a detector makes per image; None keeps its own number."""
    if proposals is not None:
        base.rpn._post_nms_top_n = dict.fromkeys(base.rpn._post_nms_top_n, proposals)
        base.rpn._pre_nms_top_n = {mode: max(n, proposals) for mode, n in base.rpn._pre_nms_top_n.items()}
    if detections is not None:
        base.roi_heads.detections_per_img = detections


def _roi_pool(settings: DetectorSettings, bins: int) -> MultiScaleRoIAlign:
    make = MultiScaleRoIAlign
    if settings.roi_aligned or not settings.roi_sampling:
        make = partial(RoIPooling, aligned=settings.roi_aligned)
    return make(list(settings.roi_levels), bins, settings.roi_sampling)

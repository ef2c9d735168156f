"""The detectors edgekit can build by name, as plain torchvision modules."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models import get_model_builder, mobilenet_v2
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import AnchorGenerator, RPNHead
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from edgekit.artifacts.model_names import TORCHVISION
from edgekit.errors import EdgekitError

# The input size (height, width) that each is meant for; torchvision's is what it makes of a 4:3 photo, rounded up to
# multiples of 32.
ARCHITECTURES: dict[str, tuple[int, int]] = {
    "maskrcnn_mobilenet_v2_fpn": (320, 320),
    **{name: (320, 448) if "320" in name else (800, 1088) for name in TORCHVISION},
}


def build_detector(name: str, num_classes: int) -> FasterRCNN:
    """A detector with random weights; ``num_classes`` counts the background, as in torchvision."""
    if name == maskrcnn_mobilenet_v2_fpn.__name__:
        return maskrcnn_mobilenet_v2_fpn(num_classes)
    return get_model_builder(name)(weights=None, weights_backbone=None, num_classes=num_classes)


def maskrcnn_mobilenet_v2_fpn(num_classes: int) -> MaskRCNN:
    """Mask R-CNN for small pictures (320x320): MobileNetV2, FPN of 96 channels at strides 8 to 64, slim heads; batch
    norms are frozen."""
    channels, features, mask_channels = 96, 512, 64
    # The last block at each of the strides 8, 16 and 32, with its number of channels.
    blocks = {"6": 32, "13": 96, "18": 1280}
    body = mobilenet_v2(norm_layer=FrozenBatchNorm2d).features
    levels = [str(i) for i in range(len(blocks))]
    backbone = BackboneWithFPN(body, dict(zip(blocks, levels, strict=True)), list(blocks.values()), channels)
    anchors = AnchorGenerator(((32,), (64,), (128,), (224,)), ((0.5, 1.0, 2.0),) * 4)
    return MaskRCNN(
        backbone,
        min_size=320,
        max_size=320,
        rpn_anchor_generator=anchors,
        rpn_head=RPNHead(channels, 3),
        rpn_pre_nms_top_n_train=600,
        rpn_post_nms_top_n_train=300,
        rpn_pre_nms_top_n_test=100,
        rpn_post_nms_top_n_test=64,
        box_roi_pool=MultiScaleRoIAlign(levels, 7, 2),
        box_head=TwoMLPHead(channels * 7 * 7, features),
        box_predictor=FastRCNNPredictor(features, num_classes),
        box_batch_size_per_image=64,
        box_detections_per_img=6,
        mask_roi_pool=MultiScaleRoIAlign(levels, 14, 2),
        mask_head=MaskRCNNHeads(channels, (mask_channels,) * 2, 1),
        mask_predictor=MaskRCNNPredictor(mask_channels, mask_channels, num_classes),
    )


def without_weights(name: str, num_classes: int, frozen_norms: bool, eps: float) -> FasterRCNN:
    """A detector in eval mode whose tensors have shapes but no values yet (``torch.device("meta")``).

    ``frozen_norms`` turns its batch norms into FrozenBatchNorm2d, as torchvision does with pretrained weights; ``eps``
    is the batch norms'.
    """
    with torch.device("meta"):
        base = build_detector(name, num_classes)
        for module in list(base.modules()):
            for child_name, child in module.named_children():
                if frozen_norms and isinstance(child, nn.BatchNorm2d):
                    setattr(module, child_name, FrozenBatchNorm2d(child.num_features))
    for module in base.modules():
        if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d):
            module.eps = eps
    generator = base.rpn.anchor_generator  # its anchors are no parameters and would stay without values
    base.rpn.anchor_generator = AnchorGenerator(generator.sizes, generator.aspect_ratios)
    return base.eval()


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """``size`` (height, width), if the FPN can take it."""
    if min(size) < 64 or any(s % 32 for s in size):
        raise EdgekitError(
            f"size {size[0]}x{size[1]}: not a size the FPN can take", "give multiples of 32, at least 64x64"
        )
    return size


def limit(base: FasterRCNN, proposals: int | None, detections: int | None) -> None:
    """Set how many proposals and detections a detector makes per image; None keeps its own number."""
    if proposals is not None:
        base.rpn._post_nms_top_n = dict.fromkeys(base.rpn._post_nms_top_n, proposals)
        base.rpn._pre_nms_top_n = {mode: max(n, proposals) for mode, n in base.rpn._pre_nms_top_n.items()}
    if detections is not None:
        base.roi_heads.detections_per_img = detections

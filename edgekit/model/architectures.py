"""The detectors edgekit can build by name, as plain torchvision modules."""

from __future__ import annotations

from collections.abc import Callable

from torchvision.models import mobilenet_v2
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import AnchorGenerator, RPNHead
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign


def maskrcnn_mobilenet_v2_fpn(num_classes: int) -> MaskRCNN:
    """Mask R-CNN for small pictures (320x320): MobileNetV2, FPN of 96 channels at strides 8 to 64, slim heads.

    ``num_classes`` counts the background, as in torchvision. Batch norms are frozen; weights are random.
    """
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


ARCHITECTURES: dict[str, Callable[[int], MaskRCNN]] = {
    "maskrcnn_mobilenet_v2_fpn": maskrcnn_mobilenet_v2_fpn,
}

"""Small random detectors in the layouts of Detectron2 and MMDetection 3: tensors by their names, and full configs."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tests.model.foreign.reference import Plan, detectron2_plan, mmdetection_plan, prepared, pyramid

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
FPN, FEATURES = 16, 32


class Random:
    """Tensors with values of a seed, by name."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.tensors: dict[str, Tensor] = {}

    def weight(self, name: str, *shape: int, gain: float = math.sqrt(2)) -> None:
        inputs = math.prod(shape[1:])
        values = torch.randn(*shape, generator=self.generator)
        self.tensors[f"{name}.weight"] = values * (gain / math.sqrt(inputs))

    def layer(self, name: str, *shape: int, gain: float = math.sqrt(2), columns: int | None = None) -> None:
        """A weight and a bias; of a transposed convolution ``columns`` says the number of outputs."""
        self.weight(name, *shape, gain=gain)
        self.tensors[f"{name}.bias"] = 0.1 * torch.randn(columns or shape[0], generator=self.generator)

    def norm(self, name: str, channels: int, counted: bool) -> None:
        for part, low, high in (("weight", 0.5, 1.0), ("bias", -0.2, 0.2)):
            self.tensors[f"{name}.{part}"] = low + (high - low) * torch.rand(channels, generator=self.generator)
        self.tensors[f"{name}.running_mean"] = torch.zeros(channels)
        self.tensors[f"{name}.running_var"] = torch.ones(channels)
        if counted:
            self.tensors[f"{name}.num_batches_tracked"] = torch.tensor(1)


def detectron2_model(
    seed: int,
    *,
    masks: bool = True,
    classes: int = 3,
    agnostic: bool = False,
    groups: int = 1,
    stride_in_1x1: bool = True,
    channels: str = "BGR",
    sizes: tuple[tuple[float, ...], ...] = ((32,), (64,), (128,), (256,), (512,)),
    depth: int = 50,
    convs: int = 0,
    norms: str = "",
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Detectron2's tensors and config; ``agnostic`` predicts one box and mask for all classes, and ``convs`` are those
    of the box head."""
    config = copy.deepcopy(DETECTRON2)
    model = config["MODEL"]
    model["RESNETS"] |= {"DEPTH": depth, "NUM_GROUPS": groups, "STRIDE_IN_1X1": stride_in_1x1}
    model["ANCHOR_GENERATOR"]["SIZES"] = [list(level) for level in sizes]
    model["MASK_ON"] = masks
    model["ROI_HEADS"]["NUM_CLASSES"] = classes
    model["ROI_BOX_HEAD"]["CLS_AGNOSTIC_BBOX_REG"] = model["ROI_MASK_HEAD"]["CLS_AGNOSTIC_MASK"] = agnostic
    model["ROI_BOX_HEAD"] |= {"NUM_CONV": convs, "NUM_FC": 1 if convs else 2, "NORM": norms}
    config["INPUT"]["FORMAT"] = channels
    random = Random(seed)
    plan = _body(random, BLOCKS[depth], groups, detectron2_plan, config, counted=False)
    _neck_and_rpn(random, plan, len(sizes[0]) * 3)
    _heads(random, plan, classes, agnostic, masks, bool(norms))
    return _calibrated(random.tensors, detectron2_plan(random.tensors, config)), config


def mmdetection_model(
    seed: int,
    *,
    masks: bool = True,
    classes: int = 3,
    agnostic: bool = False,
    groups: int = 1,
    style: str = "pytorch",
    scales: tuple[float, ...] = (8,),
    scale_major: bool = True,
    depth: int = 50,
    convs: bool = False,
    norms: bool = False,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """MMDetection's tensors and config; ``style`` caffe takes BGR and halves in 1x1 convolutions, and ``convs`` are
    four in the box head."""
    config = copy.deepcopy(MMDETECTION)
    model = config["model"]
    roi = model["roi_head"]
    model["type"] = "MaskRCNN" if masks else "FasterRCNN"
    model["backbone"] |= {"depth": depth, "style": style}
    if groups > 1:
        model["backbone"] |= {"type": "ResNeXt", "groups": groups}
    if style == "caffe":
        model["data_preprocessor"] |= {"bgr_to_rgb": False, "mean": [103.53, 116.28, 123.675], "std": [1.0, 1.0, 1.0]}
    model["rpn_head"]["anchor_generator"] |= {"scales": list(scales), "scale_major": scale_major}
    roi["bbox_head"] |= {"num_classes": classes, "reg_class_agnostic": agnostic}
    if convs:
        roi["bbox_head"] |= {"type": "Shared4Conv1FCBBoxHead", "norm_cfg": _NORM if norms else None}
    roi["mask_head"] |= {"num_classes": classes, "class_agnostic": agnostic}
    if not masks:
        del roi["mask_head"], roi["mask_roi_extractor"]
    random = Random(seed)
    plan = _body(random, BLOCKS[depth], groups, mmdetection_plan, config, counted=True)
    _neck_and_rpn(random, plan, len(scales) * 3)
    _heads(random, plan, classes, agnostic, masks, norms)
    return _calibrated(random.tensors, mmdetection_plan(random.tensors, config)), config


def python_text(config: Mapping[str, Any]) -> str:
    """MMDetection's config as the text that a checkpoint's meta holds."""
    return "\n".join(f"{name} = {_python(value)}" for name, value in config.items())


def _python(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"dict({', '.join(f'{key}={_python(inner)}' for key, inner in value.items())})"
    return repr(value)


def _body(random: Random, blocks: tuple[int, ...], groups: int, plan_of: Any, config: Any, counted: bool) -> Plan:
    plan: Plan = plan_of({}, config)
    random.weight(plan.conv("stem"), 8, 3, 7, 7)
    random.norm(plan.norm("stem"), 8, counted)
    inputs = 8
    for stage, count in enumerate(blocks, 1):
        width, outputs = 4 * 2**stage * (2 if groups > 1 else 1), 8 * 2**stage
        for block in range(count):
            convs = {"conv1": (width, inputs, 1), "conv2": (width, width // groups, 3), "conv3": (outputs, width, 1)}
            if block == 0:
                convs["shortcut"] = (outputs, inputs, 1)
            for conv, (out, into, kernel) in convs.items():
                name = f"{stage}.{block}.{conv}"
                random.weight(plan.conv(name), out, into, kernel, kernel)
                random.norm(plan.norm(name), out, counted)
            inputs = outputs
    return plan


def _neck_and_rpn(random: Random, plan: Plan, anchors: int) -> None:
    for stage, (lateral, output) in enumerate(zip(plan.lateral, plan.output, strict=True), 1):
        random.layer(lateral, FPN, 8 * 2**stage, 1, 1, gain=0.7)
        random.layer(output, FPN, FPN, 3, 3, gain=1.0)
    hidden, objectness, deltas = plan.rpn
    random.layer(hidden, FPN, FPN, 3, 3)
    random.layer(objectness, anchors, FPN, 1, 1, gain=1.5)
    random.layer(deltas, 4 * anchors, FPN, 1, 1, gain=0.2)


def _heads(random: Random, plan: Plan, classes: int, agnostic: bool, masks: bool, norms: bool) -> None:
    for conv, norm in plan.box_convs:
        if norms:
            random.weight(conv, FPN, FPN, 3, 3)
            random.norm(norm, FPN, counted=False)
        else:
            random.layer(conv, FPN, FPN, 3, 3)
    scores, boxes = plan.predictors
    for number, name in enumerate(plan.products):
        random.layer(name, FEATURES, FEATURES if number else FPN * 7 * 7)
    random.layer(scores, classes + 1, FEATURES, gain=2.5)
    random.layer(boxes, 4 * (1 if agnostic else classes), FEATURES, gain=0.5)
    if masks:
        for name in plan.mask_convs:
            random.layer(name, FPN, FPN, 3, 3)
        hidden, last = plan.mask_ends
        random.layer(hidden, FPN, FPN, 2, 2, gain=2.5)
        random.layer(last, 1 if agnostic else classes, FPN, 1, 1, gain=2.0)


@torch.no_grad()
def _calibrated(tensors: dict[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """The tensors with norms' statistics of a drawn photo, so that values stay near 1 through all blocks."""
    y, x = torch.meshgrid(torch.arange(192), torch.arange(256), indexing="ij")
    photo = torch.stack([(x * (1 + c) + y * 3) % 256 ^ (x // 16 * 16 + y // 8 * 8) % 256 for c in range(3)], -1)

    def seen(norm: str, values: Tensor) -> None:
        tensors[f"{norm}.running_mean"] = values.mean((0, 2, 3))
        tensors[f"{norm}.running_var"] = values.var((0, 2, 3)) + 1e-3

    pyramid(tensors, plan, prepared(photo.to(torch.uint8), plan), seen)
    return tensors


_NORM: dict[str, Any] = {"type": "BN", "requires_grad": True}
_CODER: dict[str, Any] = {"type": "DeltaXYWHBBoxCoder", "target_means": [0.0] * 4}
_POOLED: dict[str, Any] = {"type": "SingleRoIExtractor", "out_channels": FPN, "featmap_strides": [4, 8, 16, 32]}
_ALIGN: dict[str, Any] = {"type": "RoIAlign", "sampling_ratio": 0}
MMDETECTION: dict[str, Any] = {
    "model": {
        "type": "MaskRCNN",
        "data_preprocessor": {
            "type": "DetDataPreprocessor",
            "mean": [123.675, 116.28, 103.53],
            "std": [58.395, 57.12, 57.375],
            "bgr_to_rgb": True,
        },
        "backbone": {"type": "ResNet", "depth": 50, "num_stages": 4, "norm_cfg": _NORM, "style": "pytorch"},
        "neck": {"type": "FPN", "in_channels": [16, 32, 64, 128], "out_channels": FPN, "num_outs": 5},
        "rpn_head": {
            "type": "RPNHead",
            "in_channels": FPN,
            "feat_channels": FPN,
            "anchor_generator": {
                "type": "AnchorGenerator",
                "scales": [8],
                "ratios": [0.5, 1.0, 2.0],
                "strides": [4, 8, 16, 32, 64],
            },
            "bbox_coder": {**_CODER, "target_stds": [1.0] * 4},
            "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": True},
        },
        "roi_head": {
            "type": "StandardRoIHead",
            "bbox_roi_extractor": {**_POOLED, "roi_layer": {**_ALIGN, "output_size": 7}},
            "bbox_head": {
                "type": "Shared2FCBBoxHead",
                "in_channels": FPN,
                "fc_out_channels": FEATURES,
                "roi_feat_size": 7,
                "num_classes": 3,
                "bbox_coder": {**_CODER, "target_stds": [0.1, 0.1, 0.2, 0.2]},
                "reg_class_agnostic": False,
                "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": False},
            },
            "mask_roi_extractor": {**_POOLED, "roi_layer": {**_ALIGN, "output_size": 14}},
            "mask_head": {"type": "FCNMaskHead", "num_convs": 4, "conv_out_channels": FPN, "num_classes": 3},
        },
        "test_cfg": {
            "rpn": {
                "nms_pre": 300,
                "max_per_img": 100,
                "nms": {"type": "nms", "iou_threshold": 0.7},
                "min_bbox_size": 0,
            },
            "rcnn": {"score_thr": 0.1, "nms": {"type": "nms", "iou_threshold": 0.5}, "max_per_img": 30},
        },
    },
    "test_pipeline": [
        {"type": "LoadImageFromFile"},
        {"type": "Resize", "scale": (1333, 800), "keep_ratio": True},
        {"type": "PackDetInputs"},
    ],
}
DETECTRON2: dict[str, Any] = {
    "INPUT": {"FORMAT": "BGR", "MIN_SIZE_TEST": 800, "MAX_SIZE_TEST": 1333},
    "MODEL": {
        "META_ARCHITECTURE": "GeneralizedRCNN",
        "MASK_ON": True,
        "KEYPOINT_ON": False,
        "LOAD_PROPOSALS": False,
        "PIXEL_MEAN": [103.53, 116.28, 123.675],
        "PIXEL_STD": [1.0, 1.0, 1.0],
        "ANCHOR_GENERATOR": {
            "NAME": "DefaultAnchorGenerator",
            "SIZES": [[32], [64], [128], [256], [512]],
            "ASPECT_RATIOS": [[0.5, 1.0, 2.0]],
            "OFFSET": 0.0,
        },
        "BACKBONE": {"NAME": "build_resnet_fpn_backbone", "FREEZE_AT": 2},
        "FPN": {
            "IN_FEATURES": ["res2", "res3", "res4", "res5"],
            "OUT_CHANNELS": FPN,
            "NORM": "",
            "FUSE_TYPE": "sum",
        },
        "PROPOSAL_GENERATOR": {"NAME": "RPN", "MIN_SIZE": 0},
        "RESNETS": {
            "DEPTH": 50,
            "NUM_GROUPS": 1,
            "NORM": "FrozenBN",
            "STRIDE_IN_1X1": True,
            "RES5_DILATION": 1,
            "RES2_OUT_CHANNELS": 16,
            "STEM_OUT_CHANNELS": 8,
            "DEFORM_ON_PER_STAGE": [False, False, False, False],
        },
        "RPN": {
            "HEAD_NAME": "StandardRPNHead",
            "IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"],
            "BBOX_REG_WEIGHTS": [1.0, 1.0, 1.0, 1.0],
            "PRE_NMS_TOPK_TEST": 300,
            "POST_NMS_TOPK_TEST": 100,
            "NMS_THRESH": 0.7,
            "CONV_DIMS": [-1],
        },
        "ROI_HEADS": {
            "NAME": "StandardROIHeads",
            "IN_FEATURES": ["p2", "p3", "p4", "p5"],
            "NUM_CLASSES": 3,
            "SCORE_THRESH_TEST": 0.1,
            "NMS_THRESH_TEST": 0.5,
        },
        "ROI_BOX_HEAD": {
            "NAME": "FastRCNNConvFCHead",
            "NUM_CONV": 0,
            "NUM_FC": 2,
            "FC_DIM": FEATURES,
            "NORM": "",
            "POOLER_RESOLUTION": 7,
            "POOLER_SAMPLING_RATIO": 0,
            "POOLER_TYPE": "ROIAlignV2",
            "BBOX_REG_WEIGHTS": [10.0, 10.0, 5.0, 5.0],
            "CLS_AGNOSTIC_BBOX_REG": False,
            "USE_SIGMOID_CE": False,
            "USE_FED_LOSS": False,
        },
        "ROI_MASK_HEAD": {
            "NAME": "MaskRCNNConvUpsampleHead",
            "NUM_CONV": 4,
            "CONV_DIM": FPN,
            "NORM": "",
            "POOLER_RESOLUTION": 14,
            "POOLER_SAMPLING_RATIO": 0,
            "POOLER_TYPE": "ROIAlignV2",
            "CLS_AGNOSTIC_MASK": False,
        },
    },
    "TEST": {"DETECTIONS_PER_IMAGE": 30},
}

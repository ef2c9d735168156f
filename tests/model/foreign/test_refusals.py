"""Models of the other frameworks that edgekit does not read, and configs that are not the weights'."""

from __future__ import annotations

import copy
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
import torch

from edgekit.errors import EdgekitError
from edgekit.model.foreign.config_values import INERT
from edgekit.model.foreign.converted import Foreign
from edgekit.model.foreign.detectron2 import is_detectron2, read_detectron2
from edgekit.model.foreign.mmdetection import is_mmdetection, read_mmdetection
from tests.model.foreign.layouts import detectron2_model, mmdetection_model

model_of = {"detectron2": cache(lambda: detectron2_model(2)), "mmdetection": cache(lambda: mmdetection_model(2))}
MMDETECTION_META: dict[str, Any] = {"dataset_meta": {"classes": ("a", "b", "c")}}


def read(framework: str, tensors: Any, config: Any) -> Foreign:
    if framework == "detectron2":
        return read_detectron2(tensors, config, "x.pth")
    return read_mmdetection(tensors, MMDETECTION_META, config, "x.pth")


def refused(framework: str, tensors: Any, config: Any) -> str:
    with pytest.raises(EdgekitError) as error:
        read(framework, tensors, config)
    assert error.value.hint
    assert "\n" not in str(error.value)
    return str(error.value)


def changed(config: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(config)
    *groups, last = field.split(".")
    place = config
    for group in groups:
        place = place.setdefault(group, {})
    place[last] = value
    return config


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("MODEL.META_ARCHITECTURE", "RetinaNet"),
        ("MODEL.META_ARCHITECTURE", "PanopticFPN"),
        ("MODEL.BACKBONE.NAME", "build_resnet_backbone"),
        ("MODEL.RESNETS.RES5_DILATION", 2),
        ("MODEL.RESNETS.NORM", "GN"),
        ("MODEL.RESNETS.DEFORM_ON_PER_STAGE", [False, True, True, True]),
        ("MODEL.RESNETS.DEPTH", 101),
        ("MODEL.RESNETS.NUM_GROUPS", 32),
        ("MODEL.FPN.NORM", "GN"),
        ("MODEL.FPN.FUSE_TYPE", "avg"),
        ("MODEL.KEYPOINT_ON", True),
        ("MODEL.MASK_ON", False),
        ("MODEL.PROPOSAL_GENERATOR.NAME", "RRPN"),
        ("MODEL.ANCHOR_GENERATOR.NAME", "RotatedAnchorGenerator"),
        ("MODEL.ANCHOR_GENERATOR.SIZES", [[32, 64]]),
        ("MODEL.ANCHOR_GENERATOR.SIZES", "code"),
        ("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", [[0.5, 1.0]]),
        ("MODEL.RPN.BBOX_REG_WEIGHTS", [2.0, 1.0, 1.0, 1.0]),
        ("MODEL.ROI_HEADS.NAME", "CascadeROIHeads"),
        ("MODEL.ROI_HEADS.NAME", "PointRendROIHeads"),
        ("MODEL.ROI_HEADS.NUM_CLASSES", 80),
        ("MODEL.ROI_HEADS.NMS_THRESH_TEST", "half"),
        ("MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", True),
        ("MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE", True),
        ("MODEL.ROI_BOX_HEAD.POOLER_TYPE", "ROIAlignRotated"),
        ("MODEL.ROI_BOX_HEAD.NUM_CONV", 4),
        ("MODEL.ROI_BOX_HEAD.NORM", "GN"),
        ("MODEL.ROI_MASK_HEAD.POOLER_TYPE", "ROIAlign"),
        ("MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO", 2),
        ("INPUT.FORMAT", "L"),
    ],
)
def test_detectron2s_config(field: str, value: Any) -> None:
    tensors, config = model_of["detectron2"]()
    name = field if "GENERATOR" not in field else "MODEL.ANCHOR_GENERATOR" if "ANCHOR" in field else field
    assert name in refused("detectron2", tensors, changed(config, field, value))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model.type", "CascadeRCNN"),
        ("model.type", "FasterRCNN"),
        ("model.backbone.type", "SwinTransformer"),
        ("model.backbone.depth", 101),
        ("model.backbone.dcn", {"type": "DCN"}),
        ("model.backbone.norm_cfg.type", "GN"),
        ("model.neck.type", "PAFPN"),
        ("model.neck.add_extra_convs", "on_input"),
        ("model.neck.num_outs", 6),
        ("model.rpn_head.type", "CascadeRPNHead"),
        ("model.rpn_head.anchor_generator.type", "LegacyAnchorGenerator"),
        ("model.rpn_head.anchor_generator.strides", [8, 16, 32, 64, 128]),
        ("model.rpn_head.anchor_generator.ratios", "code()"),
        ("model.rpn_head.bbox_coder.target_stds", [0.1, 0.1, 0.2, 0.2]),
        ("model.roi_head.type", "CascadeRoIHead"),
        ("model.roi_head.bbox_head.type", "DoubleConvFCBBoxHead"),
        ("model.roi_head.bbox_head.type", "Shared4Conv1FCBBoxHead"),
        ("model.roi_head.bbox_head.norm_cfg.type", "GN"),
        ("model.roi_head.bbox_head.num_classes", 80),
        ("model.roi_head.bbox_head.loss_cls.use_sigmoid", True),
        ("model.roi_head.bbox_head.bbox_coder.target_means", [0.1, 0.0, 0.0, 0.0]),
        ("model.roi_head.bbox_roi_extractor.roi_layer.type", "RoIPool"),
        ("model.roi_head.mask_roi_extractor", None),
        ("model.test_cfg.rcnn.nms.type", "soft_nms"),
        ("model.test_cfg.rpn.nms_across_levels", True),
        ("model.test_cfg.rcnn.score_thr", "low"),
    ],
)
def test_mmdetections_config(field: str, value: Any) -> None:
    tensors, config = model_of["mmdetection"]()
    assert field in refused("mmdetection", tensors, changed(config, field, value))


@pytest.mark.parametrize(
    ("framework", "name", "said"),
    [
        ("detectron2", "roi_heads.res5.0.conv1.weight", "C4"),
        ("detectron2", "roi_heads.box_head.0.fc1.weight", "Cascade"),
        ("detectron2", "roi_heads.keypoint_head.score_lowres.weight", "keypoint"),
        ("detectron2", "sem_seg_head.predictor.weight", "panoptic"),
        ("detectron2", "backbone.bottom_up.res4.0.conv2_offset.weight", "deformable"),
        ("detectron2", "backbone.res5.0.conv1.weight", "DC5"),
        ("detectron2", "roi_heads.mask_head.point_head.fc1.weight", "PointRend"),
        ("detectron2", "backbone.bottom_up.patch_embed.proj.weight", "body other than a ResNet"),
        ("detectron2", "roi_heads.box_head.conv1.norm.weight", "GroupNorm"),
        ("detectron2", "something.else", "something.else"),
        ("mmdetection", "roi_head.bbox_head.0.fc_cls.weight", "Cascade"),
        ("mmdetection", "roi_head.mask_iou_head.fcs.0.weight", "Mask Scoring"),
        ("mmdetection", "backbone.stem.0.weight", "ResNetV1d"),
        ("mmdetection", "neck.pafpn_convs.0.conv.weight", "PAFPN"),
        ("mmdetection", "backbone.layer2.0.conv2.conv_offset.weight", "deformable"),
        ("mmdetection", "backbone.stages.0.blocks.0.norm1.weight", "body other than a ResNet"),
        ("mmdetection", "bbox_head.retina_cls.weight", "one-stage"),
        ("mmdetection", "roi_head.bbox_head.shared_convs.0.gn.weight", "GroupNorm"),
        ("mmdetection", "backbone.layer1.0.gn1.weight", "GroupNorm"),
        ("mmdetection", "something.else", "something.else"),
    ],
)
def test_a_tensors_name(framework: str, name: str, said: str) -> None:
    tensors, config = model_of[framework]()
    assert said in refused(framework, {**tensors, name: torch.zeros(1)}, config)


@pytest.mark.parametrize("framework", ["detectron2", "mmdetection"])
def test_tensors_of_other_shapes_raise_nothing_else(framework: str) -> None:
    """What stays unseen here, load_state_dict refuses: each tensor is left out or damaged in turn."""
    tensors, config = model_of[framework]()
    damages = (torch.zeros(()), torch.zeros(3, 0), torch.zeros(5, dtype=torch.int64), torch.zeros(7, 7, 7, 7))
    for name in tensors:
        if (name.startswith("backbone.") and ".0." not in name) or name.endswith("num_batches_tracked"):
            continue
        rest = {n: t for n, t in tensors.items() if n != name}
        for damaged in (rest, *({**rest, name: damage} for damage in damages)):
            with suppress(EdgekitError):
                read(framework, damaged, config)


def fields_of(config: dict[str, Any], before: str = "") -> list[str]:
    inner = [f for name, v in config.items() if isinstance(v, dict) for f in fields_of(v, f"{before}{name}.")]
    return [*(before + name for name in config), *inner]


@pytest.mark.parametrize("framework", ["detectron2", "mmdetection"])
def test_fields_of_other_kinds_raise_nothing_else(framework: str) -> None:
    tensors, config = model_of[framework]()
    for field in fields_of(config):
        for value in (INERT, [], [[None]], float("nan"), -1):
            with suppress(EdgekitError):
                read(framework, tensors, changed(config, field, value))


def test_caffe2s_names_and_group_norms() -> None:
    assert is_detectron2({"conv1_w": torch.zeros(1), "res2_0_branch2a_w": torch.zeros(1)})
    assert "model_final_*.pkl" in refused("detectron2", {"res2_0_branch2a_w": torch.zeros(1)}, None)
    tensors, config = model_of["detectron2"]()
    left = {name: tensor for name, tensor in tensors.items() if "running" not in name}
    assert "running_mean" in refused("detectron2", left, config)


def test_mmdetection_without_a_config_or_of_version_1() -> None:
    tensors, config = model_of["mmdetection"]()
    assert is_mmdetection(tensors)
    for stem in ({}, {"backbone.stem.0.weight": torch.zeros(1)}, {"backbone.stem.conv.conv.weight": torch.zeros(1)}):
        assert not is_detectron2({**tensors, **stem})
    assert "meta.cfg" in refused("mmdetection", tensors, None)
    first = {**tensors, "roi_head.bbox_head.fc_reg.weight": torch.zeros(16, 32)}
    assert "MMDetection 1" in refused("mmdetection", first, config)


def test_as_many_class_names_as_rows() -> None:
    tensors, config = model_of["mmdetection"]()
    assert read_mmdetection(tensors, MMDETECTION_META, config, "x.pth").classes == ("a", "b", "c")
    assert read_mmdetection(tensors, {}, config, "x.pth").classes is None
    with pytest.raises(EdgekitError, match=r"meta\.CLASSES: names 2 classes"):
        read_mmdetection(tensors, {"CLASSES": ["a", "b"]}, config, "x.pth")

"""Converted detectors, built by edgekit as torchvision's modules, find what the frameworks' arithmetic finds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from edgekit.data.images import SAMPLE_PHOTOS, list_images, read_image
from edgekit.model.architectures import build_detector, freeze_norms
from edgekit.model.foreign.config_files import parse_python_config
from edgekit.model.foreign.converted import Foreign
from edgekit.model.foreign.detectron2 import read_detectron2
from edgekit.model.foreign.mmdetection import read_mmdetection
from edgekit.model.generations import normalise
from tests.model.foreign.layouts import detectron2_model, mmdetection_model, python_text
from tests.model.foreign.reference import Found, Plan, detect, detectron2_plan, mmdetection_plan

TWO_SIZES = ((16, 32), (64, 90), (128, 180), (256, 360), (512, 700))
DETECTRON2: dict[str, dict[str, Any]] = {
    "masks": {},
    "boxes of all classes": {"masks": False, "agnostic": True},
    "masks of all classes": {"agnostic": True},
    "one class": {"classes": 1},
    "ResNeXt": {"groups": 2, "stride_in_1x1": False},
    "two sizes, RGB": {"sizes": TWO_SIZES, "channels": "RGB"},
    "box convolutions": {"convs": 4},
    "box convolutions with norms": {"convs": 2, "norms": "SyncBN"},
}
MMDETECTION: dict[str, dict[str, Any]] = {
    "pytorch": {},
    "caffe, boxes of all classes": {"style": "caffe", "masks": False, "agnostic": True},
    "ResNeXt": {"groups": 2},
    "two scales": {"scales": (4, 8)},
    "box convolutions": {"convs": True},
    "box convolutions with norms": {"convs": True, "norms": True},
    "scales outer": {"scales": (4, 8), "scale_major": False},
}


def photos() -> list[Tensor]:
    return [torch.tensor(read_image(path)) for path in list_images(SAMPLE_PHOTOS)[:2]]  # 320x320


def built(found: Foreign, image: Tensor) -> Found:
    """What torchvision's modules find, without its resizing; classes from 0."""
    rows = len(found.tensors["roi_heads.box_predictor.cls_score.weight"])
    model = freeze_norms(build_detector(found.settings, rows), found.tensors).eval()
    model.load_state_dict(dict(found.tensors), strict=True)
    images = normalise(image[None], found.settings.mean, found.settings.std)
    size = (int(images.shape[-2]), int(images.shape[-1]))
    with torch.inference_mode():
        features = model.backbone(images)
        proposals, _ = model.rpn(ImageList(images, [size]), features)
        (result,), _ = model.roi_heads(features, proposals, [size])
    masks = result["masks"][:, 0] if "masks" in result else None
    return Found(result["boxes"], result["scores"], result["labels"] - 1, masks)


def check(found: Foreign, tensors: dict[str, Tensor], plan: Plan) -> None:
    """Every detection is matched: same class, IoU, score and mask."""
    for image in photos():
        theirs, ours = detect(tensors, plan, image), built(found, image)
        assert len(theirs.boxes) == len(ours.boxes) > 5
        same = (box_iou(theirs.boxes, ours.boxes) > 0.99) & (theirs.classes[:, None] == ours.classes)
        same &= (theirs.scores[:, None] - ours.scores).abs() < 1e-3
        assert same.any(1).all()
        if theirs.masks is not None and ours.masks is not None:
            of = same.float().argmax(1)
            assert (theirs.masks - ours.masks[of]).abs().max() < 5e-3


@pytest.mark.parametrize("case", DETECTRON2)
def test_detectron2(case: str) -> None:
    tensors, config = detectron2_model(1, **DETECTRON2[case])
    check(read_detectron2(tensors, config, "x.pth"), tensors, detectron2_plan(tensors, config))


@pytest.mark.parametrize("case", MMDETECTION)
def test_mmdetection(case: str) -> None:
    tensors, config = mmdetection_model(1, **MMDETECTION[case])
    found = read_mmdetection(tensors, {"cfg": python_text(config)}, None, "x.pth")
    assert found.settings == read_mmdetection(tensors, {}, parse_python_config(python_text(config), "c"), "c").settings
    check(found, tensors, mmdetection_plan(tensors, config))

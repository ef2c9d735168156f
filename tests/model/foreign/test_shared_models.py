"""Checkpoints of both frameworks in ../shared/models: the reference finds what they found, edgekit reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models import get_model_builder
from torchvision.ops import box_iou

from edgekit.data.images import read_image
from edgekit.errors import EdgekitError
from edgekit.model.architectures import build_detector, freeze_norms
from edgekit.model.foreign.config_files import read_python_config, read_yaml_config
from edgekit.model.foreign.converted import Foreign
from edgekit.model.foreign.detectron2 import is_detectron2, read_detectron2
from edgekit.model.foreign.mmdetection import is_mmdetection, read_mmdetection
from tests.model.foreign.reference import detect, detectron2_plan, mmdetection_plan

MODELS = Path(__file__).parents[4] / "shared" / "models"
pytestmark = pytest.mark.skipif(not MODELS.is_dir(), reason="needs ../shared/models")
SMALL = [
    "detectron2/faster_rcnn_R_50_FPN_3x_small",
    "detectron2/mask_rcnn_R_50_FPN_small",
    "mmdetection/faster-rcnn_r50-caffe_fpn_small",
    "mmdetection/mask-rcnn_r50_fpn_small",
]
ZOO = {
    "faster_rcnn_R_50_FPN_3x": "fasterrcnn_resnet50_fpn",
    "mask_rcnn_R_50_FPN_3x": "maskrcnn_resnet50_fpn",
    "mask_rcnn_R_101_FPN_3x": "maskrcnn_resnet101_fpn",
    "mask_rcnn_X_101_32x8d_FPN_3x": "maskrcnn_resnext101_32x8d_fpn",
}


def checkpoint(name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, Any]]:
    """Tensors, metadata and config."""
    loaded = torch.load(MODELS / name / "model.pth", weights_only=True)
    if name.startswith("detectron2"):
        return loaded["model"], {}, read_yaml_config(MODELS / name / "config.yaml")
    return loaded["state_dict"], loaded["meta"], read_python_config(MODELS / name / "config.py")


def zoo(name: str) -> dict[str, torch.Tensor]:
    shapes = json.loads((MODELS / "detectron2" / "zoo" / f"{name}.tensors.json").read_text())
    return {tensor: torch.empty(shape, device="meta") for tensor, shape in shapes.items()}


@pytest.mark.parametrize("name", SMALL)
def test_the_reference_finds_what_the_framework_found(name: str) -> None:
    tensors, _, config = checkpoint(name)
    plan = (detectron2_plan if name.startswith("detectron2") else mmdetection_plan)(tensors, config)
    theirs = np.load(MODELS / name / "outputs.npz")
    image = torch.tensor(read_image(MODELS / "images" / "0.png"))
    found = detect(tensors, plan, image)
    boxes, scores, classes = (torch.tensor(theirs[f"0.{key}"]) for key in ("boxes", "scores", "classes"))
    same = (box_iou(boxes.float(), found.boxes) >= 0.99) & (classes[:, None] == found.classes)
    same &= (scores[:, None] - found.scores).abs() < 1e-3
    assert same.any(1).float().mean() >= 0.99
    if found.masks is not None:
        masks, of = torch.tensor(theirs["0.masks"]), same.float().argmax(1)
        assert (masks - found.masks[of]).abs().amax((1, 2))[same.any(1)].max() < 5e-3


@pytest.mark.parametrize("name", SMALL)
def test_a_small_checkpoint_fits_the_module_of_its_settings(name: str) -> None:
    tensors, meta, config = checkpoint(name)
    assert is_detectron2(tensors) != is_mmdetection(tensors)
    if is_detectron2(tensors):
        found: Foreign = read_detectron2(tensors, config, name)
        assert read_detectron2(tensors, None, name).settings == found.settings  # the zoo's rules are this config's
        assert found.classes is not None
        assert (found.classes[0], found.classes[-1], len(found.classes)) == ("person", "toothbrush", 80)
    else:
        found = read_mmdetection(tensors, meta, config, name)
        assert found.settings == read_mmdetection(tensors, meta, None, name).settings
        assert found.classes == tuple(f"class{i}" for i in range(80))
    model = freeze_norms(build_detector(found.settings, 81), found.tensors)
    model.load_state_dict(dict(found.tensors), strict=True)


@pytest.mark.parametrize("name", ZOO)
def test_the_zoos_models_are_recognised(name: str) -> None:
    tensors = zoo(name)
    assert is_detectron2(tensors)
    found = read_detectron2(tensors, None, name)
    assert found.name == f"detectron2 {ZOO[name]}"
    next_ = "X_101" in name
    assert found.settings.stride_in_1x1 is not next_
    assert found.settings.std[0] == pytest.approx(58.395 / 255 if next_ else 1 / 255)
    assert found.settings.origins["std"] == "assumed: Detectron2's default"
    if "R_50" in name:
        with torch.device("meta"):
            theirs = get_model_builder(ZOO[name])(weights=None, weights_backbone=None, num_classes=81).state_dict()
        shapes = {n: t.shape for n, t in theirs.items() if not n.endswith("num_batches_tracked")}
        assert {n: t.shape for n, t in found.tensors.items()} == shapes


def test_a_c4_model_is_refused_by_name() -> None:
    tensors = zoo("mask_rcnn_R_50_C4_3x")
    assert is_detectron2(tensors)
    with pytest.raises(EdgekitError, match="C4"):
        read_detectron2(tensors, None, "x.pkl")

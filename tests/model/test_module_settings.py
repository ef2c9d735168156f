"""Detectors that a program has constructed: every setting is read from the module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models.detection import MaskRCNN, retinanet_resnet50_fpn
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

import edgekit
from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.onnx_files import read_onnx
from edgekit.data.annotations.dataset import Dataset
from edgekit.errors import EdgekitError
from edgekit.model.module_settings import settings_of
from tests.checkpoints import SIZE
from tests.model.drawn_detectors import COUNT, compare, drawn_detector


@pytest.mark.parametrize("seed", range(6))
def test_a_saved_module_finds_what_torchvisions_does(seed: int, tmp_path: Path) -> None:
    assert compare(drawn_detector(seed), tmp_path, graph=seed < 2) > 0


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_many_more(part: int, tmp_path: Path) -> None:
    seeds = range(6 + part, COUNT, 4)
    found = [compare(drawn_detector(seed), tmp_path, graph=True) for seed in seeds]
    assert all(found), dict(zip(seeds, found, strict=True))


def plain_module(**more: Any) -> MaskRCNN:
    with torch.device("meta"):
        return MaskRCNN(resnet_fpn_backbone(backbone_name="resnet18", weights=None), 3, **more)


def test_what_cannot_be_built_is_named() -> None:
    wrong: dict[str, Callable[[MaskRCNN], object]] = {
        "batch norms have several": lambda m: setattr(m.backbone.body.bn1, "eps", 0.1),
        "rpn.head": lambda m: setattr(m.rpn.head, "conv", nn.Sequential(nn.Sequential(nn.Conv2d(256, 256, 1)))),
        "GroupNorm": lambda m: setattr(m.backbone.body, "bn1", nn.GroupNorm(4, 64)),
        "box_roi_pool": lambda m: setattr(m.roi_heads.box_roi_pool, "canonical_scale", 112),
        "mask_roi_pool": lambda m: setattr(m.roi_heads.mask_roi_pool, "sampling_ratio", 4),
        "mean": lambda m: setattr(m.transform, "image_mean", [123.0, 116.0, 103.0]),
        "LeakyReLU": lambda m: setattr(m.backbone.body.layer1[0], "relu", nn.LeakyReLU()),
        "rpn.box_coder": lambda m: setattr(m.rpn.box_coder, "weights", (2.0, 1.0, 1.0, 1.0)),
    }
    for message, change in wrong.items():
        module = plain_module()
        change(module)
        with pytest.raises(EdgekitError, match=message):
            settings_of(module)
    with pytest.raises(EdgekitError, match="RetinaNet"):
        settings_of(retinanet_resnet50_fpn(weights=None, weights_backbone=None))  # type: ignore[arg-type]


def test_names_of_classes(tmp_path: Path) -> None:
    module = MaskRCNN(resnet_fpn_backbone(backbone_name="resnet18", weights=None), 3)
    meta = edgekit.save(module, tmp_path / "x.safetensors", classes=["cat", "dog"])
    assert meta.categories == ("__background__", "cat", "dog")
    assert meta.architecture == "maskrcnn_resnet18_fpn"
    assert not meta.settings.assumed()
    for classes, message in ((["cat"], "1 names, and the module has 2"), (["cat", "Cat"], "differ only by case")):
        with pytest.raises(EdgekitError, match=message):
            edgekit.save(module, tmp_path / "x.safetensors", classes=classes)
    with pytest.raises(EdgekitError, match="not a name for a model that describes itself"):
        edgekit.save(module, tmp_path / "x.pth")


def test_export_of_a_module(tmp_path: Path) -> None:
    module = drawn_detector(0)
    result = edgekit.export(module, tmp_path / "x.onnx", shape=GraphShape(SIZE))
    assert result.verification is not None
    assert result.verification.parity.matched >= 0.99 * result.verification.parity.compared > 0
    assert read_onnx(tmp_path / "x.onnx")[1].settings == settings_of(module)


@pytest.mark.slow
def test_a_pack_of_a_module_is_one_of_its_file(new_train: Dataset, tmp_path: Path) -> None:
    module = drawn_detector(0)
    learning = edgekit.Learning(epochs=2)
    data, images = new_train.file, new_train.file.parent
    result = edgekit.adapt(module, data, images, tmp_path / "new.pack", learning=learning, size=SIZE)
    assert (result.base, result.assumed, result.proof.retention.changed) == ("MaskRCNN", (), 0)
    assert result.proof.retention.compared > 0
    edgekit.save(module, tmp_path / "x.safetensors")
    selection = edgekit.Selection(packs=(tmp_path / "new.pack",))
    assert edgekit.load(tmp_path / "x.safetensors", selection).meta.new_classes == result.classes

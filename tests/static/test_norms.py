"""Folded batch norms: every architecture's are behind the convolution they are folded into."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.ops import FrozenBatchNorm2d

from edgekit.model.architectures import build_detector
from edgekit.model.module_settings import ARCHITECTURES, named_settings
from edgekit.static.norms import folded

NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d)


def drawn(name: str) -> FasterRCNN:
    """The architecture with norms that scale and shift, each channel otherwise."""
    torch.manual_seed(0)
    model = build_detector(named_settings(name), 4).eval()
    for norm in model.modules():
        if isinstance(norm, NORMS):
            for tensor in (norm.weight.data, norm.running_var):
                tensor.uniform_(0.8, 1.2)
            for tensor in (norm.bias.data, norm.running_mean):
                tensor.uniform_(-0.2, 0.2)
    return model


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_folded_is_the_same_without_norms(name: str) -> None:
    model = drawn(name)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    without = folded(model)
    assert not any(isinstance(m, NORMS) for m in without.modules())
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())  # a copy was folded
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        levels = model.backbone(image)
        for key, level in without.backbone(image).items():
            torch.testing.assert_close(level, levels[key], rtol=1e-3, atol=1e-3 * levels[key].abs().max().item())
        pooled = torch.rand(2, model.backbone.out_channels, 7, 7)
        box = model.roi_heads.box_head(pooled)
        torch.testing.assert_close(without.roi_heads.box_head(pooled), box, rtol=1e-3, atol=1e-4)
        if model.roi_heads.has_mask():
            mask = model.roi_heads.mask_head(pooled)
            torch.testing.assert_close(without.roi_heads.mask_head(pooled), mask, rtol=1e-3, atol=1e-4)


def test_names_stay() -> None:
    model = drawn("maskrcnn_resnet50_fpn_v2")
    names = set(folded(model).state_dict())
    added = names - set(model.state_dict())
    assert {n for n in names if n.endswith(".weight")} <= set(model.state_dict())
    assert all(n.endswith(".bias") for n in added)
    assert "backbone.body.layer1.0.downsample.0.bias" in added

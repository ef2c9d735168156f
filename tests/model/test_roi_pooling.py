from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign, roi_align

from edgekit.model.roi_pooling import RoIPooling

SIZES = [(64, 96), (32, 48), (16, 24), (8, 12)]


def levels(count: int = 4) -> OrderedDict[str, torch.Tensor]:
    return OrderedDict((str(i), torch.randn(2, 5, *s)) for i, s in enumerate([*SIZES, (4, 6)][:count]))


def boxes(count: int) -> torch.Tensor:
    corners = torch.rand(count, 2) * 200
    return torch.cat([corners, corners + torch.exp(torch.rand(count, 2) * 5.5)], 1).clamp(max=256)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("ratio", [-1, 0, 1, 2])
def test_not_aligned_it_is_torchvisions_to_the_bit(ratio: int, count: int) -> None:
    torch.manual_seed(0)
    features, rois = levels(5), [boxes(60), boxes(40)]
    names = list(features)[:count]  # the last level is not pooled from
    shapes = [(256, 384)] * 2
    expected = MultiScaleRoIAlign(names, 7, ratio)(features, rois, shapes)
    assert torch.equal(RoIPooling(names, 7, ratio, aligned=False)(features, rois, shapes), expected)


def test_aligned_it_pools_from_the_level_of_the_boxs_area() -> None:
    torch.manual_seed(0)
    features = levels()
    sides = torch.tensor([60.0, 111.9, 112.1, 223.9, 224.1, 300.0])  # from 112 on the second level, from 224 the third
    rois = torch.stack([torch.zeros(6), torch.zeros(6), sides, sides], 1)
    pooled = RoIPooling(list(features), 7, 0, aligned=True)(features, [rois, rois[:0]], [(256, 384)] * 2)
    for roi, level, found in zip(rois, [0, 0, 1, 1, 2, 2], pooled, strict=True):
        own = roi_align(features[str(level)][:1], [roi[None]], 7, 2.0 ** -(level + 2), 0, True)
        assert torch.equal(found, own[0])

from __future__ import annotations

import math
from collections import OrderedDict

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign

from edgekit.static import roi_align
from edgekit.static.roi_align import LevelTable


@pytest.mark.parametrize("levels", [4, 3, 1])
@pytest.mark.parametrize("bins", [7, 14])
def test_equals_torchvisions_multi_scale_roi_align(levels: int, bins: int) -> None:
    torch.manual_seed(0)
    height, width = 224, 320
    strides = [4, 8, 16, 32][:levels]
    sizes = [(height // s, width // s) for s in strides]
    features = [torch.randn(1, 8, *s) for s in sizes]
    corners = torch.rand(100, 2) * torch.tensor([width, height])
    sides = torch.exp(torch.rand(100, 2) * 6)
    boxes = torch.cat([corners, corners + sides], 1)
    boxes = torch.minimum(boxes, torch.tensor([width, height, width, height], dtype=torch.float32))
    names = [str(i) for i in range(levels)]
    expected = MultiScaleRoIAlign(names, bins, 2)(
        OrderedDict(zip(names, features, strict=True)), [boxes], [(height, width)]
    )
    levels = LevelTable(sizes, strides)
    pooled = levels(levels.lay_out(features), boxes, bins).permute(0, 3, 1, 2)
    assert (pooled - expected).abs().max() < 2e-4


@pytest.mark.parametrize("count", [16, 300, 1000])
def test_pools_few_boxes_at_once_and_joins_few(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = LevelTable([(8, 8)], [4])
    parts: list[int] = []
    joined: list[int] = []
    embedding, cat = roi_align.F.embedding, torch.cat
    monkeypatch.setattr(torch, "cat", lambda values: joined.append(len(values)) or cat(values))
    monkeypatch.setattr(
        roi_align.F, "embedding", lambda cells, table: parts.append(len(cells)) or embedding(cells, table)
    )
    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0]]).repeat(count, 1)
    assert levels(levels.lay_out([torch.randn(1, 2, 8, 8)]), boxes, 7).shape == (count, 7, 7, 2)
    assert len(parts) == math.ceil(count / 16)
    assert max(parts) == 16 * 7 * 7, "few fit a processor's cache"
    assert max(joined) <= 32, "onnxruntime records at most 32 parts in a CUDA graph"

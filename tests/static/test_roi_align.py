from __future__ import annotations

import math
from collections import OrderedDict

import pytest
import torch

from edgekit.model.roi_pooling import RoIPooling
from edgekit.static import roi_align
from edgekit.static.roi_align import LevelTable, Sampling

SIZE = 224, 320  # height, width
BOUNDS = torch.tensor([SIZE[1], SIZE[0]] * 2, dtype=torch.float32)


def some_boxes(count: int = 200, longest: float = 400.0) -> torch.Tensor:
    """Boxes clipped to the input: of all sizes, many cut at a border, some thinner than a cell, some without area."""
    corners = torch.rand(count, 2) * BOUNDS[:2]
    corners = corners - torch.rand(count, 1).round() * 40
    boxes = torch.cat([corners, corners + torch.exp(torch.rand(count, 2) * math.log(longest))], 1)
    given = torch.tensor([[0, 0, *BOUNDS[2:]], [0, 0, 0, 0], [*BOUNDS], [0, 8, 320, 9.0], [64, 32, 288, 144]])
    return torch.cat([boxes, given]).clamp(min=0).minimum(BOUNDS)


def both(
    levels: int, bins: int, sampling: Sampling, boxes: torch.Tensor, channels: int = 8
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the table pools, and what torchvision's roi_align does."""
    strides = [4, 8, 16, 32][:levels]
    sizes = [(SIZE[0] // s, SIZE[1] // s) for s in strides]
    features = [torch.randn(1, channels, *s) for s in sizes]
    names = [str(i) for i in range(levels)]
    pooling = RoIPooling(names, bins, sampling.ratio, aligned=sampling.aligned)
    expected = pooling(OrderedDict(zip(names, features, strict=True)), [boxes], [SIZE])
    table = LevelTable(sizes, strides)
    return table(table.lay_out(features), boxes, bins, sampling).permute(0, 3, 1, 2), expected


@pytest.mark.parametrize("levels", [4, 3, 1])
@pytest.mark.parametrize("bins", [7, 14])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_equals_torchvisions_roi_align(levels: int, bins: int, aligned: bool, ratio: int) -> None:
    torch.manual_seed(0)
    pooled, expected = both(levels, bins, Sampling(ratio, aligned, (2 * ratio) ** 2), some_boxes())
    assert (pooled - expected).abs().max() < 2e-4


@pytest.mark.parametrize("levels", [4, 3, 1])
@pytest.mark.parametrize("bins", [7, 14])
@pytest.mark.parametrize("aligned", [False, True])
def test_adaptive_sampling_is_exact_with_cells_enough(levels: int, bins: int, aligned: bool) -> None:
    torch.manual_seed(0)
    pooled, expected = both(levels, bins, Sampling(0, aligned, 200), some_boxes())
    assert expected.abs().max() > 1
    assert (pooled - expected).abs().max() < 5e-5


@pytest.mark.parametrize("side", [28.0, 84.0, 112.0, 28 * 3.0 + 1e-3, 223.9])
def test_adaptive_sampling_where_a_bin_holds_whole_cells(side: float) -> None:
    """The number of samples jumps there; torchvision decides by the same float32 arithmetic."""
    torch.manual_seed(0)
    corners = torch.rand(50, 2) * (224 - side)
    pooled, expected = both(4, 7, Sampling(0, True, 64), torch.cat([corners, corners + side], 1))
    assert (pooled - expected).abs().max() < 5e-5


@pytest.mark.parametrize(("cells", "exact_to"), [(4, 1), (16, 3), (25, 4)])
def test_adaptive_sampling_is_exact_for_the_rois_that_the_cells_suffice_for(cells: int, exact_to: int) -> None:
    torch.manual_seed(0)
    boxes = some_boxes(400)
    pooled, expected = both(1, 7, Sampling(0, True, cells), boxes)
    samples = ((boxes[:, 2:] - boxes[:, :2]) / 4 / 7).ceil().amax(dim=1)
    error = (pooled - expected).abs().amax(dim=(1, 2, 3))
    assert (samples <= exact_to).sum() > 20
    assert (samples > exact_to).sum() > 20
    assert error[samples <= exact_to].max() < 5e-5
    assert error.isfinite().all()


def test_a_roi_that_the_cells_do_not_suffice_for_is_an_average_of_smooth_features() -> None:
    """On a plane, a bin's average is the value at its centre, however few cells are read."""
    table = LevelTable([(80, 80)], [4])
    y, x = torch.meshgrid(torch.arange(80.0), torch.arange(80.0), indexing="ij")
    boxes = torch.tensor([[8.0, 8, 300, 300], [8, 100, 300, 120], [40, 8, 50, 300]])
    pooled = table(table.lay_out([torch.stack([x, y])[None]]), boxes, 7, Sampling(0, True, 16))
    bins = (torch.arange(7) + 0.5) / 7
    centres = boxes[:, :2, None] / 4 - 0.5 + (boxes[:, 2:] - boxes[:, :2])[:, :, None] / 4 * bins
    assert torch.allclose(pooled[..., 0], centres[:, 0, None, :].expand(-1, 7, -1), atol=1e-3)
    assert torch.allclose(pooled[..., 1], centres[:, 1, :, None].expand(-1, -1, 7), atol=1e-3)


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
    table = levels.lay_out([torch.randn(1, 2, 8, 8)])
    assert levels(table, boxes, 7, Sampling(2, False, 16)).shape == (count, 7, 7, 2)
    assert len(parts) == math.ceil(count / 16)
    assert max(parts) == 16 * 7 * 7, "few fit a processor's cache"
    assert max(joined) <= 32, "onnxruntime records at most 32 parts in a CUDA graph"

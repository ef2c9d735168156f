from __future__ import annotations

import pytest
import torch
from torchvision.ops import batched_nms

from edgekit.static.nms import keep_mask


@pytest.mark.parametrize("count", [100, 300, 1000])  # one block, two, four
def test_equals_torchvisions_nms_on_crowded_boxes(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        corners = torch.rand(count, 2, generator=generator) * 120
        boxes = torch.cat([corners, corners + 10 + 60 * torch.rand(count, 2, generator=generator)], 1)
        scores = torch.rand(count, generator=generator).sort(descending=True).values
        groups = torch.randint(0, 3, (count,), generator=generator)
        kept = torch.nonzero(keep_mask(boxes, torch.ones(count), groups, 0.5))[:, 0]
        assert torch.equal(kept, batched_nms(boxes, scores, groups, 0.5))


def test_invalid_boxes_suppress_nothing() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]])
    assert keep_mask(boxes, torch.tensor([0.0, 1.0]), None, 0.5).tolist() == [0.0, 1.0]

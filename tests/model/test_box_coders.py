from __future__ import annotations

import torch
from torchvision.models.detection._utils import BoxCoder

from edgekit.model.box_coders import SymmetricBoxCoder
from edgekit.static.static_trunk import decode_boxes

WEIGHTS = (10.0, 10.0, 5.0, 5.0)
ANCHORS = torch.tensor([[10.0, 20, 110, 220]])


def test_sides_shrink_at_most_as_much_as_they_may_grow() -> None:
    codes = torch.tensor([[0.0, 0, -40, -5, 1, -2, 40, 2]])  # two classes
    coder = SymmetricBoxCoder(WEIGHTS)
    decoded = coder.decode_single(codes, ANCHORS).reshape(2, 4)
    sides = decoded[:, 2:] - decoded[:, :2]
    assert torch.allclose(sides[0], torch.tensor([100 * 16 / 1000, 200 / torch.e]), atol=1e-4)
    assert torch.allclose(sides[1, 0], torch.tensor(100 * 1000 / 16), atol=1e-1)
    assert torch.allclose(decode_boxes(codes[:, :4], ANCHORS, coder), decoded[:1], atol=1e-4)


def test_torchvisions_is_bounded_from_above_only() -> None:
    codes = torch.tensor([[0.0, 0, -40, 40]])
    coder = BoxCoder(WEIGHTS)
    decoded = coder.decode_single(codes, ANCHORS)
    assert decoded[0, 2] - decoded[0, 0] < 0.1
    assert torch.allclose(decode_boxes(codes, ANCHORS, coder), decoded, atol=1e-3)
    symmetric = SymmetricBoxCoder(WEIGHTS).decode_single(codes.clamp(min=-5), ANCHORS)
    assert torch.equal(symmetric, coder.decode_single(codes.clamp(min=-5), ANCHORS))

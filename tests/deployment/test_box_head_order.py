"""Box heads that take RoIs as they are pooled, channels last."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, TwoMLPHead

from edgekit.static.static_trunk import channels_first, channels_last

CHANNELS, BINS = 6, 7


@pytest.mark.parametrize(
    "head", [TwoMLPHead(CHANNELS * BINS**2, 16), FastRCNNConvFCHead((CHANNELS, BINS, BINS), [8], [16])]
)
def test_same_features(head: nn.Module) -> None:
    rois = torch.randn(3, BINS, BINS, CHANNELS)
    head.eval()
    with torch.inference_mode():
        expected = head(rois.permute(0, 3, 1, 2))
        torch.testing.assert_close(channels_last(head, BINS)(rois), expected)


def test_the_order_of_weights_can_be_undone() -> None:
    head = TwoMLPHead(CHANNELS * BINS**2, 16)
    before = head.fc6.weight.detach().clone()
    changed = channels_last(head, BINS)
    assert isinstance(changed, TwoMLPHead)
    assert not torch.equal(changed.fc6.weight, before)
    assert torch.equal(channels_first(changed.fc6.weight, BINS), before)
    assert torch.equal(head.fc6.weight, before), "the given one stays"

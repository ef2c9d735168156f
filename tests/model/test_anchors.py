from __future__ import annotations

import torch
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import AnchorGenerator

from edgekit.model.anchors import Anchors

SIZES, RATIOS = ((32.0, 45.3), (64.0, 90.5)), ((0.5, 1.0, 2.0),) * 2
IMAGES = ImageList(torch.zeros(1, 3, 200, 320), [(200, 320)])
LEVELS = [torch.zeros(1, 1, 25, 40), torch.zeros(1, 1, 13, 20)]  # strides 8 and 16: 12.5 rows are 13


def test_rounded_they_are_torchvisions() -> None:
    expected = AnchorGenerator(SIZES, RATIOS)(IMAGES, LEVELS)[0]
    assert torch.equal(Anchors(SIZES, RATIOS, rounded=True)(IMAGES, LEVELS)[0], expected)


def test_not_rounded_sides_have_the_areas_and_ratios_asked_for() -> None:
    anchors = Anchors(SIZES, RATIOS, rounded=False)(IMAGES, LEVELS)[0]
    sides = anchors[:6, 2:] - anchors[:6, :2]
    sizes = torch.tensor([32.0, 45.3] * 3)
    assert torch.allclose(sides.prod(dim=1).sqrt(), sizes, atol=1e-4), "ratios outer, sizes inner"
    assert torch.allclose(sides[:, 1] / sides[:, 0], torch.tensor([0.5, 0.5, 1, 1, 2, 2]), atol=1e-5)
    rounded = AnchorGenerator(SIZES, RATIOS)(IMAGES, LEVELS)[0]
    assert 0.1 < (anchors - rounded).abs().max() <= 0.5 + 1e-4


def test_grids_have_the_strides_given_and_are_shifted_by_a_share_of_them() -> None:
    anchors = Anchors(SIZES, RATIOS, rounded=False, strides=(8, 16), offset=0.5)(IMAGES, LEVELS)[0]
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    first, second = centres.split([25 * 40 * 6, 13 * 20 * 6])
    assert torch.allclose(first[6 * (40 * 24 + 39)], torch.tensor([39 * 8 + 4.0, 24 * 8 + 4.0]))
    assert torch.allclose(second[6 * (20 * 12 + 19)], torch.tensor([19 * 16 + 8.0, 12 * 16 + 8.0]))
    torchvisions = Anchors(SIZES, RATIOS, rounded=False)(IMAGES, LEVELS)[0]
    assert torch.allclose(torchvisions[-1, 1::2].mean(), torch.tensor(12 * 15.0), atol=1e-3), "200 // 13"

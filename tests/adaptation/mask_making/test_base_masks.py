"""One mask of all old classes' masks, and what speaks for it."""

from __future__ import annotations

import pytest
import torch

from edgekit.adaptation.mask_making.base_masks import combined_mask, spans


def block(top: int, left: int, bottom: int, right: int) -> torch.Tensor:
    """Logits [28, 28], high in a rectangle."""
    logits = torch.full((28, 28), -5.0)
    logits[top:bottom, left:right] = 5.0
    return logits


def test_the_mask_is_of_the_classes_that_fill_the_box() -> None:
    filling, corner = block(0, 0, 28, 28), block(0, 0, 5, 5)
    filling[10:18, 10:18] = -5.0  # a hole, so that it is not the whole box
    mask = combined_mask(torch.stack([corner, corner, filling])[None], torch.full((1, 3), 0.1))
    assert torch.equal(mask[0] > 0.5, filling > 0)


def test_of_classes_that_fill_it_alike_the_surer_one_counts() -> None:
    left = torch.maximum(block(0, 0, 28, 14), block(0, 0, 2, 28))
    right = torch.maximum(block(0, 14, 28, 28), block(0, 0, 2, 28))
    masks = combined_mask(torch.stack([left, right])[None].repeat(2, 1, 1, 1), torch.tensor([[0.8, 0.01], [0.01, 0.8]]))
    assert torch.equal(masks[0] > 0.5, left > 0)
    assert torch.equal(masks[1] > 0.5, right > 0)


@pytest.mark.parametrize(
    ("corners", "share"), [((0, 0, 28, 28), 1.0), ((7, 0, 28, 28), 0.75), ((0, 7, 28, 21), 0.5), ((0, 0, 0, 0), 0.0)]
)
def test_how_much_of_the_sides_a_mask_spans(corners: tuple[int, int, int, int], share: float) -> None:
    assert spans((block(*corners) > 0)[None]).tolist() == [share]

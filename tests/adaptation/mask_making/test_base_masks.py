"""One mask of the old classes' masks of a box, and what speaks for it."""

from __future__ import annotations

import pytest
import torch

from edgekit.adaptation.mask_making.base_masks import MOST_SHIFT, box_masks, filling, lacking_at_sides

CORNER = (0, 0, 5, 5)


def block(top: int, left: int, bottom: int, right: int, height: float = 5.0) -> torch.Tensor:
    """Logits [28, 28], high in a rectangle."""
    logits = torch.full((28, 28), -5.0)
    logits[top:bottom, left:right] = height
    return logits


def test_the_mask_is_of_the_classes_that_fill_the_box() -> None:
    ring = block(0, 0, 28, 28)
    ring[10:18, 10:18] = -5.0
    logits = torch.stack([block(*CORNER)] * 4 + [ring] * 3)[None]
    assert set(filling(logits)[0].tolist()) == {4, 5, 6}
    found = box_masks(logits, logits)
    assert torch.equal(found.masks[0] > 0.5, ring > 0)
    assert (found.agreement.tolist(), found.lacking.tolist()) == ([1.0], [0.0])


def test_a_base_of_one_class_gives_its_masks() -> None:
    logits = block(0, 0, 28, 28)[None, None]
    assert (box_masks(logits, logits).masks > 0.5).all()


def test_a_mask_grows_until_it_reaches_the_sides() -> None:
    weak = torch.maximum(block(4, 4, 24, 24), block(0, 10, 28, 18, -1.0))  # to the top and the bottom, less surely
    weak = torch.maximum(weak, block(10, 0, 18, 28, -2.0))  # to the left and the right, less surely still
    found = box_masks(weak[None, None], weak[None, None])
    assert found.lacking.tolist() == [2.0]
    assert torch.equal(found.masks[0] >= 0.5, weak >= -2)


def test_a_mask_far_from_the_sides_grows_no_further_than_it_may() -> None:
    logits = torch.maximum(block(10, 10, 18, 18), block(0, 0, 28, 28, -4.9))[None, None]
    found = box_masks(logits, logits)
    assert found.lacking[0] > MOST_SHIFT
    assert (found.masks > 0.5).sum() == 8 * 8


@pytest.mark.parametrize(("corners", "lacking"), [((0, 0, 28, 28), 0.0), ((1, 0, 28, 28), 5.0), ((0, 7, 28, 21), 5.0)])
def test_what_a_side_lacks(corners: tuple[int, int, int, int], lacking: float) -> None:
    assert lacking_at_sides(block(*corners)[None]).tolist() == [lacking]


def test_views_that_disagree_are_told() -> None:
    left, right = block(0, 0, 28, 14), block(0, 14, 28, 28)
    found = box_masks(left[None, None], right[None, None])
    assert found.agreement.tolist() == [0.0]

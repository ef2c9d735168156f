"""Ways to make masks of boxes of which a frozen base model knows no class, to compare with the one edgekit uses."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import torch

from edgekit.adaptation.mask_making.base_masks import box_masks
from edgekit.data.masks import paste

Logits = tuple[torch.Tensor, torch.Tensor]  # [N, K, m, m] of a photo and of its mirror image


def box_itself(logits: Logits) -> torch.Tensor:
    """The whole box: the low baseline."""
    return torch.ones_like(logits[0][:, 0])


def mean_of_classes(logits: Logits) -> torch.Tensor:
    """The class-agnostic mean of the logits."""
    return sum(logits).mean(1).sigmoid()  # type: ignore[union-attr]


def largest_of_classes(logits: Logits) -> torch.Tensor:
    """Each pixel's surest class."""
    return sum(logits).amax(1).sigmoid()  # type: ignore[union-attr]


def filling_classes(logits: Logits) -> torch.Tensor:
    """The three classes that fill the box best, grown until all sides are reached: what edgekit uses."""
    return box_masks(*logits).masks


BY_BASE: dict[str, Callable[[Logits], torch.Tensor]] = {
    "box": box_itself,
    "mean of classes": mean_of_classes,
    "largest of classes": largest_of_classes,
    "filling classes": filling_classes,
}


def pasted(mask: torch.Tensor, box: np.ndarray, size: tuple[int, int], threshold: float = 0.5) -> np.ndarray:
    """A mask [m, m] in its photo, bool [h, w], cut off at its box."""
    x0, y0, x1, y1 = box.round().astype(int)
    inside = np.zeros(size, bool)
    inside[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = True
    return paste(mask[None].numpy(), box[None].astype(np.float32), size, threshold)[0] & inside


def grab_cut(photo: np.ndarray, box: np.ndarray, mask: torch.Tensor | None = None) -> np.ndarray:
    """OpenCV's GrabCut in a box, bool [h, w], started from the box or from a mask [m, m] of probabilities."""
    import cv2

    size = photo.shape[:2]
    start = np.full(size, cv2.GC_BGD, np.uint8)
    if mask is None:
        start[pasted(torch.ones(28, 28), box, size)] = cv2.GC_PR_FGD
    else:
        for threshold, kind in ((0.1, cv2.GC_PR_BGD), (0.5, cv2.GC_PR_FGD), (0.9, cv2.GC_FGD)):
            start[pasted(mask, box, size, threshold)] = kind
    with contextlib.suppress(cv2.error):  # nothing, or all, is background
        cv2.grabCut(photo, start, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
    return (start == cv2.GC_FGD) | (start == cv2.GC_PR_FGD)

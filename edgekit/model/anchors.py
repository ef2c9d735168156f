"""Anchors as Detectron2 and MMDetection have them: not rounded, at strides of their own, and with an offset."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torchvision.models.detection.rpn import AnchorGenerator


class Anchors(AnchorGenerator):
    """torchvision's anchors, ratios outer and sizes inner, with what it fixes as settings.

    ``rounded`` says whether the sides of the base anchors are rounded to pixels, ``strides`` are the levels' (None:
    those of torchvision, input size // grid size, which are not the FPN's where a grid was rounded up: 61 for 64), and
    ``offset`` is the share of its stride that a grid is shifted by.
    """

    def __init__(
        self,
        sizes: Sequence[Sequence[float]],
        aspect_ratios: Sequence[Sequence[float]],
        *,
        rounded: bool,
        strides: Sequence[int] | None = None,
        offset: float = 0.0,
    ) -> None:
        super().__init__(tuple(map(tuple, sizes)), tuple(map(tuple, aspect_ratios)))
        self.rounded, self.offset = rounded, offset
        self.strides = None if strides is None else tuple(strides)
        if not rounded:
            pairs = zip(self.sizes, self.aspect_ratios, strict=True)
            self.cell_anchors = [exact_anchors(*pair) for pair in pairs]

    def grid_anchors(self, grid_sizes: list[list[int]], strides: list[list[torch.Tensor]]) -> list[torch.Tensor]:
        """Each level's anchors [N, 4], cell by cell."""
        if self.strides is not None:
            strides = [[torch.full_like(s, own) for s in pair] for pair, own in zip(strides, self.strides, strict=True)]
        grids: list[torch.Tensor] = super().grid_anchors(grid_sizes, strides)
        shifts = [self.offset * torch.stack([x, y, x, y]) for y, x in strides]
        return [grid + shift for grid, shift in zip(grids, shifts, strict=True)]


def exact_anchors(sizes: Sequence[float], aspect_ratios: Sequence[float]) -> torch.Tensor:
    """The base anchors [ratios * sizes, 4] around 0 of one level, not rounded; a ratio is height / width."""
    heights = torch.tensor(aspect_ratios, dtype=torch.float32).sqrt()
    size = torch.tensor(sizes, dtype=torch.float32)
    halves = torch.stack([(1 / heights)[:, None] * size, heights[:, None] * size], dim=-1).reshape(-1, 2) / 2
    return torch.cat([-halves, halves], dim=1)

"""Greedy non-maximum suppression with native operators and static shapes."""

from __future__ import annotations

import torch

ROUNDS = 20
BLOCK = 256  # boxes decided at once: what [5, 256, 1000] numbers take, a processor's cache holds


def pairwise_iou(boxes: torch.Tensor, others: torch.Tensor | None = None) -> torch.Tensor:
    """The IoU [..., M, N] of boxes [..., M, 4] xyxy with others [..., N, 4], by default with each other."""
    others = boxes if others is None else others
    # Columns [M, 1] against rows [1, N]: few nodes, and onnxruntime is several times slower on [M, N, 2].
    x0, y0, x1, y1 = boxes.split(1, dim=-1)
    left, top, right, bottom = others.transpose(-1, -2).split(1, dim=-2)
    widths = (torch.minimum(x1, right) - torch.maximum(x0, left)).clamp(min=0)
    heights = (torch.minimum(y1, bottom) - torch.maximum(y0, top)).clamp(min=0)
    shared = widths * heights
    areas, other_areas = (x1 - x0) * (y1 - y0), (right - left) * (bottom - top)
    return shared / (areas + other_areas - shared).clamp(min=1e-9)


def keep_mask(boxes: torch.Tensor, valid: torch.Tensor, groups: torch.Tensor | None, threshold: float) -> torch.Tensor:
    """Which boxes greedy NMS keeps: float [..., N] of zeros and ones, for boxes [..., N, 4] in falling order of scores.

    Only boxes with ``valid`` (float [..., N]) are kept or suppress others; with ``groups`` (integer [..., N]) a box
    suppresses only those of its own group. A box is kept if no kept box before it overlaps it. ``BLOCK`` boxes are
    decided at a time, of those that no block before suppresses: rounds repeat the statement from all ones, and after n
    rounds it holds for every box whose chain of suppressors in the block is shorter than n.
    """
    left = valid[..., None, :]  # [..., 1, N]: of the boxes not decided yet, 1 where no kept one suppresses it
    kept = []
    for start in range(0, boxes.shape[-2], BLOCK):
        overlaps = pairwise_iou(boxes[..., start : start + BLOCK, :], boxes[..., start:, :])
        suppresses = (overlaps > threshold).to(boxes.dtype)
        if groups is not None:
            same = groups[..., start : start + BLOCK, None] == groups[..., None, start:]
            suppresses = suppresses * same.to(boxes.dtype)
        count = suppresses.shape[-2]
        row, later = left[..., :count], left[..., count:]
        earlier = torch.triu(torch.ones(count, count, dtype=boxes.dtype, device=boxes.device), diagonal=1)
        within = suppresses[..., :count] * earlier
        # A box stays at 1 if no kept box suppresses it and falls to 0 or below otherwise. (A row vector times the
        # matrix: for a transposed matrix times a vector onnxruntime 1.31 computes a wrong product.)
        keep = row
        for _ in range(ROUNDS):
            keep = (row - keep @ within).relu()
        kept.append(keep)
        if later.shape[-1]:
            left = (later - keep @ suppresses[..., count:]).relu()
    return torch.cat(kept, dim=-1)[..., 0, :]

"""Greedy non-maximum suppression with native operators and static shapes."""

from __future__ import annotations

import torch

ROUNDS = 20


def pairwise_iou(boxes: torch.Tensor) -> torch.Tensor:
    """The IoU [..., N, N] of boxes [..., N, 4] xyxy with each other."""
    # Columns [N, 1] against rows [1, N]: few nodes, and onnxruntime is several times slower on [N, N, 2].
    x0, y0, x1, y1 = boxes.split(1, dim=-1)
    left, top, right, bottom = boxes.transpose(-1, -2).split(1, dim=-2)
    widths = (torch.minimum(x1, right) - torch.maximum(x0, left)).clamp(min=0)
    heights = (torch.minimum(y1, bottom) - torch.maximum(y0, top)).clamp(min=0)
    shared = widths * heights
    areas = (x1 - x0) * (y1 - y0)
    return shared / (areas + areas.transpose(-1, -2) - shared).clamp(min=1e-9)


def keep_mask(boxes: torch.Tensor, valid: torch.Tensor, groups: torch.Tensor | None, threshold: float) -> torch.Tensor:
    """Which boxes greedy NMS keeps: float [..., N] of zeros and ones, for boxes [..., N, 4] in falling order of scores.

    Only boxes with ``valid`` (float [..., N]) are kept or suppress others; with ``groups`` (integer [..., N]) a box
    suppresses only those of its own group. A box is kept if no kept box before it overlaps it; the rounds repeat that
    statement from all ones, and after n rounds it holds for every box whose chain of suppressors is shorter than n.
    """
    count = boxes.shape[-2]
    earlier = torch.triu(torch.ones(count, count, dtype=boxes.dtype, device=boxes.device), diagonal=1)
    suppresses = (pairwise_iou(boxes) > threshold).to(boxes.dtype) * earlier
    if groups is not None:
        suppresses = suppresses * (groups[..., :, None] == groups[..., None, :]).to(boxes.dtype)
    # A valid box stays at 1 if no kept box suppresses it and falls to 0 or below otherwise. (A row vector times the
    # matrix: for a transposed matrix times a vector onnxruntime 1.31 computes a wrong product.)
    row = keep = valid[..., None, :]
    for _ in range(ROUNDS):
        keep = (row - keep @ suppresses).relu()
    return keep[..., 0, :]

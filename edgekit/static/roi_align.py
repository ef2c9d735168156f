"""Multi-level RoIAlign as one Gather over a table of the FPN's levels."""

from __future__ import annotations

import math
from itertools import accumulate

import torch
from torch import nn
from torch.nn import functional as F

CANONICAL_SIZE, CANONICAL_LEVEL = 224.0, 4  # of the FPN paper (arXiv:1612.03144), equation 1; torchvision's values
SAMPLES = 2  # sample points a bin and axis, torchvision's sampling_ratio
CELLS = (2 * SAMPLES) ** 2  # that a bin reads
BINS_AT_ONCE = 16 * 7 * 7  # so many read 13 MB at 256 channels, which a processor's cache holds until they are summed
MOST_JOINED = 32  # parts that onnxruntime concatenates at once in a recorded CUDA graph


class LevelTable(nn.Module):
    """The cells of the FPN's levels below one another in one table, finest level first, each level's row by row.

    ``sizes`` are the levels' (height, width), ``strides`` their strides in pixels of the input, finest first.
    Equals torchvision's MultiScaleRoIAlign with ``sampling_ratio`` 2 on boxes clipped to the input.
    """

    def __init__(self, sizes: list[tuple[int, int]], strides: list[int]) -> None:
        super().__init__()
        self.finest, self.coarsest = (round(math.log2(s)) for s in (strides[0], strides[-1]))
        *starts, self.cells = accumulate((h * w for h, w in sizes), initial=0)
        # A row a level: 1 / stride, height and width less one, width, first cell.
        rows = [(1 / s, h - 1, w - 1, w, c) for (h, w), s, c in zip(sizes, strides, starts, strict=True)]
        self.register_buffer("levels", torch.tensor(rows, dtype=torch.float32), persistent=False)
        self.levels: torch.Tensor

    def lay_out(self, levels: list[torch.Tensor]) -> torch.Tensor:
        """The table [cells, C] of the levels' features [1, C, h, w]."""
        return torch.cat([x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]) for x in levels])

    def forward(self, table: torch.Tensor, boxes: torch.Tensor, bins: int) -> torch.Tensor:
        """Pool boxes [R, 4] xyxy (pixels of the input) to [R, bins, bins, C]."""
        count, channels = boxes.shape[0], table.shape[1]
        levels = self.levels.index_select(0, self._level(boxes))
        inverse_stride, last_y, last_x, width, start = levels.split(1, dim=1)
        x0, y0, x1, y1 = (boxes * inverse_stride).split(1, dim=1)
        rows, row_weights = self._read(y0, y1, last_y, bins)
        columns, column_weights = self._read(x0, x1, last_x, bins)
        starts = (rows * width[:, :, None] + start[:, :, None]).to(torch.int32)  # of the level's rows in the table
        cells = starts[:, :, None, :, None] + columns.to(torch.int32)[:, None, :, None, :]
        weights = row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
        at_once = max(1, BINS_AT_ONCE // bins**2) * bins**2  # whole RoIs
        parts = zip(cells.reshape(-1, CELLS).split(at_once), weights.reshape(-1, 1, CELLS).split(at_once), strict=True)
        pooled = [part_weights @ F.embedding(part_cells, table) for part_cells, part_weights in parts]
        while len(pooled) > 1:
            pooled = [torch.cat(pooled[i : i + MOST_JOINED]) for i in range(0, len(pooled), MOST_JOINED)]
        return pooled[0].reshape(count, bins, bins, channels)

    def _read(
        self, low: torch.Tensor, high: torch.Tensor, last: torch.Tensor, bins: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What each bin of each RoI reads along one axis of its level, and the weights: both [R, bins, 2 * SAMPLES].

        These are the two cells around each sample point, by bilinear interpolation, averaged over the bin's points;
        the RoI's ends and its level's ``last`` cell are [R, 1]. A point more than a cell beyond the level, as those of
        RoIs thinner than a cell may be, counts nothing, as in torchvision's roi_align.
        """
        points = bins * SAMPLES
        step = (torch.arange(points, dtype=low.dtype, device=low.device) + 0.5) / points
        points_at = low + (high - low).clamp(min=1.0) * step  # [R, points]
        share = (points_at <= last + 1).to(low.dtype) / SAMPLES
        position = torch.minimum(points_at.clamp(min=0.0), last)
        below = position.floor()
        above_share = (position - below) * share
        cells = torch.stack([below, torch.minimum(below + 1, last)], dim=2)
        weights = torch.stack([share - above_share, above_share], dim=2)
        return cells.reshape(-1, bins, 2 * SAMPLES), weights.reshape(-1, bins, 2 * SAMPLES)

    def _level(self, boxes: torch.Tensor) -> torch.Tensor:
        """The index of the level each box is pooled from, torchvision's LevelMapper.

        It takes levels to halve in size: of two levels of one stride (MobileNetV3's) it only ever picks the first.
        """
        side = torch.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(dim=1))
        level = torch.floor(CANONICAL_LEVEL + torch.log2(side / CANONICAL_SIZE + 1e-12) + 1e-6)
        return (level - self.finest).clamp(0, self.coarsest - self.finest).to(torch.int64)

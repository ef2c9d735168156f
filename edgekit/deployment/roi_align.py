"""Multi-level RoIAlign as one Gather over a mosaic of the FPN's levels."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

CANONICAL_SIZE, CANONICAL_LEVEL = 224.0, 4  # of the FPN paper (arXiv:1612.03144), equation 1; torchvision's values
SAMPLES = 2  # sample points a bin and axis, torchvision's sampling_ratio
CELLS = (2 * SAMPLES) ** 2  # that a bin reads
BINS_AT_ONCE = 16 * 7 * 7  # so many read 13 MB at 256 channels, which a processor's cache holds until they are summed
MOST_PARTS = 32  # that onnxruntime concatenates in a recorded CUDA graph


class Mosaic(nn.Module):
    """The FPN levels side by side in one picture: the finest on the left, the others stacked on its right, and a last
    row and column of zeros for the sample points of RoIs thinner than a cell that fall outside their level.

    ``sizes`` are the levels' (height, width), ``strides`` their strides in pixels of the input, finest first.
    Equals torchvision's MultiScaleRoIAlign with ``sampling_ratio`` 2 on boxes clipped to the input.
    """

    def __init__(self, sizes: list[tuple[int, int]], strides: list[int]) -> None:
        super().__init__()
        self.sizes = sizes
        self.finest, self.coarsest = (round(math.log2(s)) for s in (strides[0], strides[-1]))
        rest_height = sum(h for h, _ in sizes[1:])
        self.height = max(sizes[0][0], rest_height) + 1
        self.width = sizes[0][1] + max((w for _, w in sizes[1:]), default=0) + 1
        tops, lefts = [0], [0]
        for number in range(1, len(sizes)):
            tops.append(sum(h for h, _ in sizes[1:number]))
            lefts.append(sizes[0][1])
        # A row a level: 1 / stride, the tile's height and width less one, its top and left.
        rows = [(1 / s, h - 1, w - 1, t, x) for (h, w), s, t, x in zip(sizes, strides, tops, lefts, strict=True)]
        self.register_buffer("tiles", torch.tensor(rows, dtype=torch.float32), persistent=False)
        self.tiles: torch.Tensor

    def lay_out(self, levels: list[torch.Tensor]) -> torch.Tensor:
        """The mosaic as a table [H * W, C] of cells, row by row, of the levels' features [1, C, h, w]."""
        first, *others = levels
        width = self.width - first.shape[3]
        padded = [F.pad(x, (0, width - x.shape[3], 0, 0)) for x in others]
        right = torch.cat(padded, dim=2) if padded else torch.zeros_like(first[..., :1])
        first = F.pad(first, (0, 0, 0, self.height - first.shape[2]))
        right = F.pad(right, (0, 0, 0, self.height - right.shape[2]))
        return torch.cat([first, right], dim=3)[0].flatten(1).t()

    def forward(self, table: torch.Tensor, boxes: torch.Tensor, bins: int) -> torch.Tensor:
        """Pool boxes [R, 4] xyxy (pixels of the input) to [R, C, bins, bins]."""
        count, channels = boxes.shape[0], table.shape[1]
        tiles = self.tiles.index_select(0, self._level(boxes))
        inverse_stride, last_y, last_x, top, left = tiles.split(1, dim=1)
        x0, y0, x1, y1 = (boxes * inverse_stride).split(1, dim=1)
        rows, row_weights = self._cells(y0, y1, last_y, top, self.height, bins)
        columns, column_weights = self._cells(x0, x1, last_x, left, self.width, bins)
        cells = rows[:, :, None, :, None] * self.width + columns[:, None, :, None, :]
        weights = row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
        at_once = max(1, BINS_AT_ONCE // bins**2, math.ceil(count / MOST_PARTS)) * bins**2  # whole RoIs
        parts = zip(cells.reshape(-1, CELLS).split(at_once), weights.reshape(-1, 1, CELLS).split(at_once), strict=True)
        pooled = [part_weights @ F.embedding(part_cells, table) for part_cells, part_weights in parts]
        together = torch.cat(pooled) if len(pooled) > 1 else pooled[0]
        return together.reshape(count, bins, bins, channels).permute(0, 3, 1, 2)

    def _cells(
        self, low: torch.Tensor, high: torch.Tensor, last: torch.Tensor, start: torch.Tensor, size: int, bins: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The cells that each bin of each RoI reads along one axis, and their weights: both [R, bins, 2 * SAMPLES].

        These are the two cells around each sample point, by bilinear interpolation, averaged over the bin's points;
        the RoI's ends and its tile's are [R, 1].
        """
        points = bins * SAMPLES
        step = (torch.arange(points, dtype=low.dtype, device=low.device) + 0.5) / points
        position = low + (high - low).clamp(min=1.0) * step  # [R, points]
        position = self._on_tile(position, last, start, size - 1)
        below = position.floor().clamp(max=size - 2)
        above_weight = (position - below) / SAMPLES
        cells = torch.stack([below, below + 1], dim=2).to(torch.int32)
        weights = torch.stack([1 / SAMPLES - above_weight, above_weight], dim=2)
        return cells.reshape(-1, bins, 2 * SAMPLES), weights.reshape(-1, bins, 2 * SAMPLES)

    @staticmethod
    def _on_tile(points: torch.Tensor, last: torch.Tensor, start: torch.Tensor, zeros: int) -> torch.Tensor:
        """Coordinates in a level [R, points] as coordinates in the mosaic: clamped to the level's first and last cell,
        or in the row (column) of zeros where they are more than a cell beyond it, as in torchvision's roi_align."""
        inside = torch.minimum(points.clamp(min=0.0), last) + start
        return torch.where(points > last + 1, torch.full_like(points, zeros), inside)

    def _level(self, boxes: torch.Tensor) -> torch.Tensor:
        """The index of the level each box is pooled from, torchvision's LevelMapper.

        It takes levels to halve in size: of two levels of one stride (MobileNetV3's) it only ever picks the first.
        """
        side = torch.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(dim=1))
        level = torch.floor(CANONICAL_LEVEL + torch.log2(side / CANONICAL_SIZE + 1e-12) + 1e-6)
        return (level - self.finest).clamp(0, self.coarsest - self.finest).to(torch.int64)

"""Multi-level RoIAlign as one Gather over a table of the FPN's levels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops import MultiScaleRoIAlign

CANONICAL_SIZE, CANONICAL_LEVEL = 224.0, 4  # of the FPN paper (arXiv:1612.03144), equation 1; torchvision's values
CELLS_AT_ONCE = 16 * 7 * 7 * 16  # 13 MB at 256 channels, which a processor's cache holds until they are summed
MOST_JOINED = 32  # parts that onnxruntime concatenates at once in a recorded CUDA graph
NEAR = 3  # samples that a cell may be near to, in adaptive sampling: they are more than half a cell apart


@dataclass(frozen=True)
class Sampling:
    """Where the bins of RoIAlign take their samples, and how many cells each of them reads."""

    ratio: int  # samples per bin and axis; 0: adaptive, ceil(side of the RoI in cells / bins)
    aligned: bool  # cells are centred on half numbers, and a RoI may be smaller than a cell
    cells: int  # two per sample and axis where the number of samples is fixed

    @classmethod
    def of(cls, pooler: MultiScaleRoIAlign, adaptive_cells: int) -> Sampling:
        """That of torchvision's RoI pooling, or of a ``RoIPooling``."""
        ratio = max(pooler.sampling_ratio, 0)
        return cls(ratio, getattr(pooler, "aligned", False), (2 * ratio) ** 2 or adaptive_cells)


class LevelTable(nn.Module):
    """The cells of the FPN's levels below one another in one table, finest level first, each level's row by row.

    ``sizes`` are the levels' (height, width), ``strides`` their strides in pixels of the input, finest first. Equals
    torchvision's roi_align on the level that its MultiScaleRoIAlign picks, on boxes clipped to the input.
    """

    def __init__(self, sizes: list[tuple[int, int]], strides: list[int]) -> None:
        super().__init__()
        self.finest, self.coarsest = (round(math.log2(s)) for s in (strides[0], strides[-1]))
        self.longest = max(map(max, sizes))
        *starts, self.cells = accumulate((h * w for h, w in sizes), initial=0)
        # A row a level: 1 / stride, height and width less one, width, first cell.
        rows = [(1 / s, h - 1, w - 1, w, c) for (h, w), s, c in zip(sizes, strides, starts, strict=True)]
        self.register_buffer("levels", torch.tensor(rows, dtype=torch.float32), persistent=False)
        self.levels: torch.Tensor

    def lay_out(self, levels: list[torch.Tensor]) -> torch.Tensor:
        """The table [cells, C] of the levels' features [1, C, h, w]."""
        return torch.cat([x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]) for x in levels])

    def forward(self, table: torch.Tensor, boxes: torch.Tensor, bins: int, sampling: Sampling) -> torch.Tensor:
        """Pool boxes [R, 4] xyxy (pixels of the input) to [R, bins, bins, C]."""
        count, channels = boxes.shape[0], table.shape[1]
        levels = self.levels.index_select(0, self._level(boxes))
        inverse_stride, last_y, last_x, width, start = levels.split(1, dim=1)
        scaled = boxes * inverse_stride
        x0, y0, x1, y1 = (scaled - 0.5 if sampling.aligned else scaled).split(1, dim=1)
        least = 0.0 if sampling.aligned else 1.0
        down, across = Axis(y0, y1, last_y, bins, least), Axis(x0, x1, last_x, bins, least)
        if sampling.ratio:
            rows, row_weights = down.fixed(sampling.ratio)
            columns, column_weights = across.fixed(sampling.ratio)
        else:
            (rows, row_weights), (columns, column_weights) = self._adaptive(down, across, sampling.cells)
        starts = (rows * width[:, :, None] + start[:, :, None]).to(torch.int32)  # of the level's rows in the table
        columns = columns.to(torch.int32)
        if sampling.ratio:  # each row with each column; in adaptive sampling they are pairs
            starts, row_weights = starts[..., None], row_weights[..., None]
            columns, column_weights = columns[..., None, :], column_weights[..., None, :]
        cells = (starts[:, :, None] + columns[:, None]).reshape(-1, sampling.cells)
        weights = (row_weights[:, :, None] * column_weights[:, None]).reshape(-1, 1, sampling.cells)
        at_once = max(1, CELLS_AT_ONCE // (sampling.cells * bins**2)) * bins**2  # whole RoIs
        parts = zip(cells.split(at_once), weights.split(at_once), strict=True)
        pooled = [part_weights @ F.embedding(part_cells, table) for part_cells, part_weights in parts]
        while len(pooled) > 1:
            pooled = [torch.cat(pooled[i : i + MOST_JOINED]) for i in range(0, len(pooled), MOST_JOINED)]
        return pooled[0].reshape(count, bins, bins, channels)

    def _adaptive(self, down: Axis, across: Axis, most: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The rows and columns of the cells that each bin reads, and their weights: all [R, bins, ``most``].

        Samples of a bin are at most a cell apart: n of them read n + 1 adjacent cells, down and across. Where these
        are more than ``most``, a RoI is sampled as if its level had only every second row and column of cells, from
        the bin's first sample on, or every third, and so on.
        """
        steps = torch.arange(1, 1 + math.ceil(self.longest / down.bins), device=down.low.device).to(down.low.dtype)
        needed = (down.samples(steps) + 1) * (across.samples(steps) + 1)
        step = 1 + (needed > most).to(steps.dtype).sum(dim=1, keepdim=True)
        columns = across.samples(step) + 1
        place = torch.arange(most, device=steps.device).to(steps.dtype)
        row = torch.floor((place + 0.5) / columns)
        return [down.adaptive(step, row), across.adaptive(step, place - row * columns)]

    def _level(self, boxes: torch.Tensor) -> torch.Tensor:
        """The index of the level each box is pooled from, torchvision's LevelMapper.

        It takes levels to halve in size: of two levels of one stride (MobileNetV3's) it only ever picks the first.
        """
        side = torch.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(dim=1))
        level = torch.floor(CANONICAL_LEVEL + torch.log2(side / CANONICAL_SIZE + 1e-12) + 1e-6)
        return (level - self.finest).clamp(0, self.coarsest - self.finest).to(torch.int64)


class Axis:
    """RoIs along one axis of their levels, in cells: from ``low`` to ``high``, the level's ``last`` cell, all [R, 1].

    A sample more than a cell beyond the level, as those of RoIs thinner than a cell may be, counts nothing, as in
    torchvision's roi_align; ``least`` is the smallest side of a RoI.
    """

    def __init__(self, low: torch.Tensor, high: torch.Tensor, last: torch.Tensor, bins: int, least: float) -> None:
        self.low, self.last, self.bins = low, last, bins
        self.side = (high - low).clamp(min=least)

    def fixed(self, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What each bin reads with so many samples, and the weights: both [R, bins, 2 * samples].

        These are the two cells around each sample, by bilinear interpolation, averaged over the bin's samples.
        """
        points = self.bins * samples
        step = (torch.arange(points, dtype=self.low.dtype, device=self.low.device) + 0.5) / points
        points_at = self.low + self.side * step  # [R, points]
        share = (points_at <= self.last + 1).to(self.low.dtype) / samples
        position = torch.minimum(points_at.clamp(min=0.0), self.last)
        below = position.floor()
        above_share = (position - below) * share
        cells = torch.stack([below, torch.minimum(below + 1, self.last)], dim=2)
        weights = torch.stack([share - above_share, above_share], dim=2)
        return cells.reshape(-1, self.bins, 2 * samples), weights.reshape(-1, self.bins, 2 * samples)

    def samples(self, step: torch.Tensor) -> torch.Tensor:
        """The number of a bin's samples in adaptive sampling of every ``step``-th cell."""
        return torch.ceil(torch.ceil(self.side / self.bins) / step)

    def adaptive(self, step: torch.Tensor, place: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The cells that each bin reads at its places [R, N], and their weights, with adaptive sampling of every
        ``step``-th cell [R, 1]: both [R, bins, N].

        Place 0 is the cell before a bin's first sample. A cell's weight is the sum over the samples less than a step
        from it. Of more than two samples these are at most three, as they are at least 2/3 of a step apart.
        """
        bin_side, samples = self.side / self.bins, self.samples(step)
        least = samples.clamp(min=1.0)
        apart = bin_side / least
        starts = torch.arange(self.bins, device=self.low.device).to(self.low.dtype) * bin_side
        first = self.low + starts + 0.5 * apart  # [R, bins]
        origin = torch.minimum(first.clamp(min=0.0), self.last).floor()
        cells = origin[:, :, None] + (step * place)[:, None]  # [R, bins, N]
        apart, step, last = apart[:, :, None], step[:, :, None], self.last[:, :, None]
        before = (cells - step - first[:, :, None]) / torch.maximum(apart, 0.5 * step)
        near = torch.arange(NEAR, device=cells.device).to(cells.dtype)
        number = (torch.floor(before) + 1).clamp(min=0.0)[..., None] + near  # [R, bins, N, 3]
        position = first[:, :, None, None] + number * apart[..., None]
        counts = (number < samples[:, :, None, None]).to(cells.dtype)
        counts = counts * (position <= last[..., None] + 1).to(cells.dtype)
        position = torch.minimum(position.clamp(min=0.0), last[..., None])
        distance = (position - cells[..., None]).abs() / step[..., None]
        weights = (F.relu(1 - distance) * counts).sum(dim=3) / least[:, :, None]
        return torch.minimum(cells, last), weights

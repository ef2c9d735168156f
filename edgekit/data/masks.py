"""Which pixels of a photo do a model's small masks cover? torchvision's pasting, as flips down each pixel column.

A pixel column of a pasted mask is piecewise linear between the mask's rows, so where it crosses the threshold follows
from the few rows and not from the many pixels. What lies within rounding of the threshold is computed again in the
arithmetic of PyTorch's interpolation, so that each bit is that of torchvision's ``paste_masks_in_image(...) > 0.5``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

UNSURE = 4e-6  # nearer than this to the threshold, rounding decides (an error of 2e-6 at most): see _exact
SMALL_SIDES = 128  # up to this sum of output sides PyTorch 2 interpolates with one weight a corner, else axis by axis


@dataclass(frozen=True)
class Crop:
    """An object's pixels: ``mask`` (bool [h, w]) begins at row ``top``, column ``left`` of the photo; all else is 0.

    Its columns lie one after the other in memory, as COCO's run-length encoding wants them.
    """

    top: int
    left: int
    mask: np.ndarray


@dataclass(frozen=True)
class _Flips:
    """Where N pasted masks turn on and off, going down each of the C pixel columns that they reach, all in a row."""

    photo_size: tuple[int, int]
    low: np.ndarray  # int [N, 2], the first pixel (x, y) in the photo
    high: np.ndarray  # int [N, 2], one past the last
    first_column: np.ndarray  # int [N + 1], each mask's first among the C columns
    column: np.ndarray  # int [F], rising: the flips' columns
    row: np.ndarray  # int [F], rising in each column: the flips' rows in the photo


def crops(masks: np.ndarray, boxes: np.ndarray, photo_size: tuple[int, int], threshold: float = 0.5) -> list[Crop]:
    """The pixels of masks [N, m, m] (probabilities) in boxes [N, 4] (xyxy) where they are more than ``threshold``."""
    flips = _flips(masks, boxes, photo_size, threshold)
    return [Crop(int(low[1]), int(low[0]), mask.T) for low, mask in zip(flips.low, _fill(flips), strict=True)]


def paste(masks: np.ndarray, boxes: np.ndarray, photo_size: tuple[int, int], threshold: float = 0.5) -> np.ndarray:
    """``crops`` in whole photos: bool [N, H, W]."""
    flips = _flips(masks, boxes, photo_size, threshold)
    pasted = np.zeros((len(masks), *photo_size[::-1]), bool)
    for whole, low, high, mask in zip(pasted, flips.low, flips.high, _fill(flips), strict=True):
        whole[low[0] : high[0], low[1] : high[1]] = mask
    return pasted.transpose(0, 2, 1)


def encode(
    masks: np.ndarray, boxes: np.ndarray, photo_size: tuple[int, int], threshold: float = 0.5
) -> list[dict[str, Any]]:
    """``paste`` as COCO's compressed run-length encodings, ready for JSON, without the pixels in between."""
    flips = _flips(masks, boxes, photo_size, threshold)
    height, width = photo_size
    pixels = height * width
    # All photos in a row, with one pixel between two: what is on until the last is off before the next one's first.
    starts = np.arange(len(masks) + 1) * (pixels + 1)
    at = _in_a_row(flips, starts[:-1] + flips.low[:, 0] * height, np.full(len(masks), height))
    # Rising; two at one place are none.
    first = np.flatnonzero(np.diff(at, prepend=-1))
    at = at[first[np.diff(first, append=len(at)) % 2 == 1]]
    found = []
    for start, (begin, end) in zip(starts[:-1], pairwise(np.searchsorted(at, starts)), strict=True):
        ends = np.concatenate(([start], at[begin:end], [start + pixels]))
        runs = ends[1:] - ends[:-1]
        counts = runs[:-1] if begin < end and not runs[-1] else runs
        encoded = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
        found.append({"size": [height, width], "counts": encoded["counts"].decode("ascii")})
    return found


def _flips(masks: np.ndarray, boxes: np.ndarray, photo_size: tuple[int, int], threshold: float) -> _Flips:
    """Find the flips of all masks at once."""
    # torchvision's way: a border of one cell, corners rounded towards zero, bilinear without aligned corners.
    bordered = np.pad(masks.astype(np.float32, copy=False), ((0, 0), (1, 1), (1, 1)))
    cells = bordered.shape[1]
    start, count = _spans(boxes, cells / masks.shape[1])
    limits = np.array([photo_size[1], photo_size[0]])
    low = np.clip(start, 0, limits)
    high = np.maximum(np.minimum(start + count, limits), low)
    widths = np.where(high[:, 1] > low[:, 1], high[:, 0] - low[:, 0], 0)
    high[:, 0] = low[:, 0] + widths
    first_column = np.concatenate([[0], np.cumsum(widths)])
    box = np.repeat(np.arange(len(masks)), widths)
    pixel = np.arange(len(box)) - (first_column[:-1] + start[:, 0] - low[:, 0])[box]
    below, after, weight = _positions(pixel, cells, count[box, 0])
    where = (below, after, weight)
    column, row, unsure = _crossings(bordered, box, where, threshold, start[box, 1], count[box, 1])
    if len(unsure):
        flagged = np.zeros(len(box), bool)
        flagged[unsure] = True
        kept = ~flagged[column]
        which, turns = _exact(bordered, box[unsure], [w[unsure] for w in where], count, threshold)
        column = np.concatenate([column[kept], unsure[which]])
        row = np.concatenate([row[kept], turns + start[box[unsure[which]], 1]])
        order = np.argsort(column * 2**32 + row, kind="stable")
        column, row = column[order], row[order]
    row = np.clip(row, low[box[column], 1], high[box[column], 1])
    return _Flips(photo_size, low, high, first_column, column, row)


def _spans(boxes: np.ndarray, stretch: float) -> tuple[np.ndarray, np.ndarray]:
    """The first pixel (x, y) and the number of pixels that each bordered mask spans, in the photo or not: [N, 2]."""
    boxes = boxes.astype(np.float32, copy=False)
    centres, halves = (boxes[:, 2:] + boxes[:, :2]) * np.float32(0.5), (boxes[:, 2:] - boxes[:, :2]) * np.float32(0.5)
    halves = halves * np.float32(stretch)
    start, end = (centres - halves).astype(np.int64), (centres + halves).astype(np.int64)
    return start, np.maximum(end - start + 1, 1)


def _positions(pixel: np.ndarray, cells: int, count: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For pixels of ``count`` that span ``cells``: the cells below and after each and the latter's weight, as PyTorch
    rounds them (a fused multiply-add, which float64 holds)."""
    step = np.float32(cells) / count.astype(np.float32)
    position = (step.astype(np.float64) * (pixel + 0.5) - 0.5).astype(np.float32)
    position = np.maximum(position, 0)
    below = np.minimum(position.astype(np.int64), cells - 1)
    weight = np.minimum(position - below.astype(np.float32), 1)
    return below, np.minimum(below + 1, cells - 1), weight


def _crossings(
    bordered: np.ndarray,
    box: np.ndarray,
    where: Sequence[np.ndarray],
    threshold: float,
    start: np.ndarray,
    count: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The flips (columns and photo rows, [F] each) of C columns, of the masks ``box`` [C] and ``where`` in them, and
    the columns in which rounding may decide a pixel. ``start`` and ``count`` [C] are the rows each column spans."""
    cells = bordered.shape[1]
    column, cell = _near_edges(bordered, box, where[0], threshold)
    below, after, weight = (w.take(column) for w in where)
    row_of = (box.take(column) * cells + cell) * cells
    below, after = row_of + below, row_of + after
    low, high = bordered.take(below), bordered.take(below + cells)
    low += (bordered.take(after) - low) * weight  # the column's value at this row of cells, and at the next
    high += (bordered.take(after + cells) - high) * weight
    near = column[(low > threshold - UNSURE) != (low > threshold + UNSURE)]
    flips = np.flatnonzero((low > np.float32(threshold)) != (high > np.float32(threshold)))
    column, cell, low = column[flips], cell[flips], low[flips].astype(np.float64)
    slope = high[flips] - low
    scale = count[column] / cells
    crossing = (cell + (threshold - low) / slope + 0.5) * scale - 0.5  # in pixels of the span
    row = np.ceil(crossing)
    # The flip is at the first pixel beyond the crossing; how near are this one and the one before to the threshold?
    distance = np.minimum(row - crossing, crossing - row + 1) * np.abs(slope) / scale
    unsure = np.unique(np.concatenate([near, column[distance < UNSURE]]))
    return column, row.astype(np.int64) + start[column], unsure


def _near_edges(
    bordered: np.ndarray, box: np.ndarray, below: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where columns may reach the threshold: which column and, rising in each, from which row of cells to the next.

    Between four cells whose values are all on one side of it a column does not, and few masks have many others.
    """
    cells = bordered.shape[1]
    by_column = np.pad(bordered.transpose(0, 2, 1), ((0, 0), (0, 1), (0, 0)))
    least = np.minimum(by_column[:, 1:], by_column[:, :-1])
    most = np.maximum(by_column[:, 1:], by_column[:, :-1])
    least, most = np.minimum(least[:, :, 1:], least[:, :, :-1]), np.maximum(most[:, :, 1:], most[:, :, :-1])
    reached = (least <= threshold + 2 * UNSURE) & (most >= threshold - 2 * UNSURE)  # [N, cells, cells - 1]
    strip, row = np.divmod(np.flatnonzero(reached), cells - 1)
    begins = np.searchsorted(strip, np.arange(len(bordered) * cells + 1))
    mine = box * cells + below
    lengths = begins[mine + 1] - begins[mine]
    column = np.repeat(np.arange(len(box)), lengths)
    return column, row.take(np.arange(len(column)) + (begins[mine] - np.cumsum(lengths) + lengths).take(column))


def _exact(
    bordered: np.ndarray,
    number: np.ndarray,
    where: Sequence[np.ndarray],
    count: np.ndarray,
    threshold: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The flips of U columns, of the masks ``number`` [U], as PyTorch interpolates them: which of the columns, and the
    row of the span, [F] each."""
    rows = count[number, 1]
    of = np.repeat(np.arange(len(number)), rows)  # each pixel's column
    first = np.cumsum(rows) - rows
    left, right, weight = (a[of] for a in where)
    below, after, down = _positions(np.arange(len(of)) - first[of], bordered.shape[1], rows[of])
    one = np.float32(1)
    top, bottom = one - down, down
    mask = number[of]
    corners = [bordered[mask, r, c] for r in (below, after) for c in (left, right)]
    weights = [a * b for a in (top, bottom) for b in (one - weight, weight)]
    small = _fused(corners[0], weights[0], weights[1] * corners[1])
    small = _fused(corners[3], weights[3], _fused(corners[2], weights[2], small))
    upper = _fused(corners[0], one - weight, corners[1] * weight)
    lower = _fused(corners[2], one - weight, corners[3] * weight)
    large = _fused(upper, top, lower * bottom)
    is_small = (count.sum(axis=1) <= SMALL_SIDES)[mask]
    inside = np.where(is_small, small, large) > np.float32(threshold)
    # The columns in a row, with a pixel that is off before each one's first and after its last.
    padded = np.zeros(len(of) + 2 * len(number) + 1, bool)
    padded[np.arange(len(of)) + 2 * of + 1] = inside
    begins = first + 2 * np.arange(len(number))
    at = np.flatnonzero(padded[1:] != padded[:-1])
    which = np.searchsorted(begins, at, side="right") - 1
    return which, at - begins[which]


def _fused(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a * b + c in float32, rounded once."""
    return (a.astype(np.float64) * b + c).astype(np.float32)


def _in_a_row(flips: _Flips, starts: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Where the flips [F] are if all columns lie one after the other: row 0 of a mask's first column is at its start
    [N], and the columns of a mask are as high as its height [N]."""
    widths = np.diff(flips.first_column)
    begins = np.repeat(starts - flips.first_column[:-1] * heights, widths)
    begins += np.arange(len(begins)) * np.repeat(heights, widths)
    return begins.take(flips.column) + flips.row


def _fill(flips: _Flips) -> list[np.ndarray]:
    """Each mask's pixels [w, h]: all columns in one row, on from every odd flip to the next."""
    sizes = flips.high - flips.low
    ends = np.concatenate([[0], np.cumsum(sizes.prod(axis=1))])
    at = _in_a_row(flips, ends[:-1] - flips.low[:, 1], sizes[:, 1])
    runs = np.diff(at, prepend=0, append=ends[-1])
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return [pixels[a:b].reshape(size) for (a, b), size in zip(pairwise(ends), sizes, strict=True)]

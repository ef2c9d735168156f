"""Paste a model's small masks into photos, as torchvision does, without visiting every pixel.

A pixel column of a pasted mask is piecewise linear between the mask's rows, so where it crosses the threshold follows
from the few rows and not from the many pixels. Only pixels whose value is the threshold but for rounding may differ
from torchvision's ``paste_masks_in_image(...) > threshold``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

ROUNDING = 1e-6  # a value interpolated between cells in float32 may lie this far beyond all of them


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
    places = _in_a_row(flips, starts[:-1] + flips.low[:, 0] * height, np.full(len(masks), height))
    places = _odd_ones(places)
    ends = np.searchsorted(places, starts)
    return [
        _encoded(places[begin:end] - start, photo_size)
        for start, (begin, end) in zip(starts[:-1], pairwise(ends), strict=True)
    ]


def _odd_ones(places: np.ndarray) -> np.ndarray:
    """Each of some rising places once, without those that are there an even number of times: off and on at one pixel
    is no change."""
    first = np.flatnonzero(np.diff(places, prepend=-1))
    times = np.diff(first, append=len(places))
    return places[first[times % 2 == 1]]


def _encoded(flips: np.ndarray, photo_size: tuple[int, int]) -> dict[str, Any]:
    """COCO's encoding of a photo whose columns, one after the other, turn on and off at ``flips``."""
    height, width = photo_size
    pixels = height * width
    ends = np.concatenate([[0], flips, [pixels]])
    runs = np.diff(ends)
    if len(flips) and runs[-1] == 0:  # on up to the last pixel
        runs = runs[:-1]
    encoded = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return {"size": [height, width], "counts": encoded["counts"].decode("ascii")}


def _flips(masks: np.ndarray, boxes: np.ndarray, photo_size: tuple[int, int], threshold: float) -> _Flips:
    """Find the flips of all masks at once."""
    # torchvision's way: a border of one cell, corners rounded towards zero, bilinear without aligned corners.
    bordered = np.pad(masks.astype(np.float32, copy=False), ((0, 0), (1, 1), (1, 1)))
    cells = bordered.shape[1]
    start, count = _spans(boxes, cells / masks.shape[1])
    limits = np.array([photo_size[1], photo_size[0]])
    low = np.clip(start, 0, limits)
    high = np.clip(start + count, low, limits)
    is_empty = (high == low).any(axis=1)
    high[is_empty, 0] = low[is_empty, 0]
    widths = high[:, 0] - low[:, 0]
    first_column = np.concatenate([[0], np.cumsum(widths)])

    # What follows is of the C pixel columns of all masks.
    mask = np.repeat(np.arange(len(masks)), widths)
    column_in_photo = np.arange(len(mask)) - first_column[mask] + low[mask, 0]
    across = _position(column_in_photo - start[mask, 0], cells, count[mask, 0])
    column, crossing = _crossings(bordered, mask, across, threshold)

    # What follows is of the F flips.
    mask = mask[column]
    row_in_span = (crossing + 0.5) * (count[mask, 1] / cells) - 0.5
    row = np.ceil(row_in_span).astype(np.int64) + start[mask, 1]  # the first pixel beyond the crossing
    row = np.clip(row, low[mask, 1], high[mask, 1])
    return _Flips(photo_size, low, high, first_column, column, row)


def _spans(boxes: np.ndarray, stretch: float) -> tuple[np.ndarray, np.ndarray]:
    """The first pixel (x, y) and the number of pixels that each bordered mask spans, in the photo or not: [N, 2]."""
    boxes = boxes.astype(np.float32, copy=False)
    centres, halves = (boxes[:, 2:] + boxes[:, :2]) * np.float32(0.5), (boxes[:, 2:] - boxes[:, :2]) * np.float32(0.5)
    halves = halves * np.float32(stretch)
    start, end = (centres - halves).astype(np.int64), (centres + halves).astype(np.int64)
    return start, np.maximum(end - start + 1, 1)


def _position(pixel: np.ndarray, cells: int, count: np.ndarray) -> np.ndarray:
    """Where pixels lie among ``cells`` that ``count`` pixels span: 1.25 is a quarter of the way from cell 1 to 2."""
    return np.clip((pixel + 0.5) * (cells / count) - 0.5, 0, cells - 1)


def _crossings(
    bordered: np.ndarray, mask: np.ndarray, across: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where C columns cross the threshold: the columns and how far down among the rows of cells, [F] each, rising.

    Column c is of the mask ``mask[c]`` and lies at ``across[c]`` among its columns of cells.
    """
    cells = bordered.shape[1]
    left = np.minimum(across.astype(np.int64), cells - 2)
    column, row = _near_edges(bordered, mask, left, threshold)
    # The column's value at this row of cells and at the next.
    first_of_row = (mask[column] * cells + row) * cells
    weight = (across - left).astype(np.float32)[column]
    corner = first_of_row + left[column]
    upper = _between(bordered, corner, weight)
    lower = _between(bordered, corner + cells, weight)
    flips = np.flatnonzero((upper > np.float32(threshold)) != (lower > np.float32(threshold)))
    upper, lower = upper[flips].astype(np.float64), lower[flips].astype(np.float64)
    # Within the cell in spite of rounding, so that the crossings of a column rise.
    share = np.clip((threshold - upper) / (lower - upper), 0, 1)
    return column[flips], row[flips] + share


def _between(bordered: np.ndarray, corner: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Values between the cells at ``corner``, counted over all masks, and those to the right of them."""
    left = bordered.take(corner)
    right = bordered.take(corner + 1)
    return left + (right - left) * weight


def _near_edges(
    bordered: np.ndarray, mask: np.ndarray, left: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where columns may reach the threshold: which column and, rising in each, from which row of cells to the next.

    Column c lies in the mask ``mask[c]`` between the columns of cells ``left[c]`` and the next. Where the four cells
    around a part of it are all on one side of the threshold, so is that part; few parts are left in most masks.
    """
    cells = bordered.shape[1]
    by_column = bordered.transpose(0, 2, 1)
    strips = np.minimum(by_column[:, 1:], by_column[:, :-1]), np.maximum(by_column[:, 1:], by_column[:, :-1])
    least = np.minimum(strips[0][:, :, 1:], strips[0][:, :, :-1])
    most = np.maximum(strips[1][:, :, 1:], strips[1][:, :, :-1])
    reached = (least <= threshold + ROUNDING) & (most >= threshold - ROUNDING)  # [N, cells - 1, cells - 1]
    strip, row = np.divmod(np.flatnonzero(reached), cells - 1)
    # Each column takes the rows of its strip, which lie together.
    begins = np.searchsorted(strip, np.arange(len(bordered) * (cells - 1) + 1))
    own_strip = mask * (cells - 1) + left
    lengths = begins[own_strip + 1] - begins[own_strip]
    column = np.repeat(np.arange(len(mask)), lengths)
    ends = np.cumsum(lengths)
    place_in_column = np.arange(len(column)) - (ends - lengths)[column]
    return column, row[begins[own_strip][column] + place_in_column]


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
    places = _in_a_row(flips, ends[:-1] - flips.low[:, 1], sizes[:, 1])
    runs = np.diff(places, prepend=0, append=ends[-1])
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return [pixels[a:b].reshape(size) for (a, b), size in zip(pairwise(ends), sizes, strict=True)]

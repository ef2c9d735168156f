"""Whether boxes are those of their masks, and what a whole set's boxes or masks mean if they are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgekit.data.annotations.outlines import run_lengths

LEAST_IOU = 0.5  # of an object's box and its mask's: what people draw separately differs
FEW_PIXELS = 2.0  # on each side, that small objects may differ by
CLEARLY = 0.1  # of IoU, that another reading fits better by
MOST_DECODED = 50  # masks read row by row
FEWEST = 3  # boxes without masks, before something is said of all of them
OVERSHOOT = 0.05  # of the photo's side

Boxes = np.ndarray  # [N, 4] x, y, w, h
Sizes = np.ndarray  # [N, 2] (width, height)


def corners(b: Boxes) -> Boxes:
    """Boxes that were given as x0, y0, x1, y1."""
    return np.concatenate([b[:, :2], b[:, 2:] - b[:, :2]], axis=1)


def centred(b: Boxes) -> Boxes:
    """Boxes that were given by their centre, width and height."""
    return np.concatenate([b[:, :2] - b[:, 2:] / 2, b[:, 2:]], axis=1)


LAYOUTS: dict[str, Callable[[Boxes], Boxes]] = {
    "x, y, width, height": lambda b: b,
    "x0, y0, x1, y1": corners,
    "centre x, centre y, width, height": centred,
}


def iou(a: Boxes, b: Boxes) -> np.ndarray:
    """IoU of each box with the one beside it, [N]."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    total = np.abs(np.prod(a[:, 2:], axis=1)) + np.abs(np.prod(b[:, 2:], axis=1)) - shared
    return shared / np.maximum(total, 1e-9)


def box_fits(boxes: Boxes, masks: Boxes) -> np.ndarray:
    """Which boxes are those of their masks, bool [N]."""
    beside = np.abs(np.concatenate([boxes[:, :2] - masks[:, :2], (boxes - masks)[:, :2] + (boxes - masks)[:, 2:]], 1))
    return (iou(boxes, masks) >= LEAST_IOU) | (beside.max(axis=1) <= FEW_PIXELS)


def likely_layout(boxes: Boxes, masks: Boxes, sizes: Sizes) -> str:
    """What the boxes are if not x, y, width, height in pixels: where another reading fits more of the masks; or ""."""
    own = iou(boxes, masks)
    best, most = "", 0.0
    for unit, scaled in (("", boxes), (" in fractions of the photo", boxes * np.tile(sizes, 2))):
        for name, layout in LAYOUTS.items():
            other = iou(layout(scaled), masks)
            better, worse = (other > own + CLEARLY).sum(), (other < own - CLEARLY).sum()
            if better > worse and other.sum() > most:
                fitting = int(box_fits(layout(scaled), masks).sum())
                best, most = f"{fitting} of {len(boxes)} boxes fit their masks if read as {name}{unit}", other.sum()
    return best


def likely_layout_without_masks(boxes: Boxes, sizes: Sizes) -> str:
    """What boxes without masks are if not x, y, width, height in pixels, as far as they alone tell; or ""."""
    if boxes.min() >= 0 and boxes.max() <= 1:
        return f"all {len(boxes)} boxes lie between 0 and 1, as fractions of the photo do"
    if len(boxes) < FEWEST:
        return ""
    ends = boxes[:, :2] + boxes[:, 2:]
    over = (ends > sizes * (1 + OVERSHOOT)).any(axis=1)
    read = corners(boxes)
    possible = (read[:, 2:] > 0).all(axis=1) & (boxes[:, 2:] <= sizes + 1).all(axis=1)
    return _corners_text(over) if possible.all() else ""


def likely_corners(boxes: Boxes, sizes: Sizes) -> str:
    """Whether rows that were read as centre, width and height are x0, y0, x1, y1, as far as they tell; or ""."""
    read = corners(np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]], axis=1))
    over = ((boxes[:, :2] < -OVERSHOOT * sizes) | (boxes[:, :2] + boxes[:, 2:] > sizes * (1 + OVERSHOOT))).any(axis=1)
    return _corners_text(over) if len(boxes) >= FEWEST and (read[:, 2:] > 0).all() else ""


def _corners_text(over: np.ndarray) -> str:
    """What to say of boxes that may be x0, y0, x1, y1, of which those marked in bool [N] reach out of their photos;
    "" where too few do."""
    if over.sum() * 10 < len(over):
        return ""
    return f"{over.sum()} of {len(over)} boxes reach out of the photo, none does if read as x0, y0, x1, y1"


def row_by_row(counts: str, size: tuple[int, int]) -> Boxes:
    """The box of a mask whose RLE goes along the rows, where COCO's goes down the columns: [1, 4]."""
    runs = run_lengths(counts).astype(np.int64)
    mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size)
    ys, xs = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    return np.array([[xs[0], ys[0], np.ptp(xs) + 1, np.ptp(ys) + 1]], np.float64)

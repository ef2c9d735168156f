"""The one result type: what a model found in a photo, whatever ran it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from edgekit.data.images import Canvas


@dataclass(frozen=True)
class Detections:
    """N objects found in a photo of ``photo_size`` (height, width) pixels."""

    boxes: np.ndarray  # float32 [N, 4] xyxy, pixels of the photo
    labels: np.ndarray  # int64 [N]
    scores: np.ndarray  # float32 [N]
    masks: np.ndarray  # float32 [N, 28, 28], probability inside the box; [N, 0, 0] from a model without masks
    photo_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, keep: np.ndarray) -> Detections:
        """The detections that a boolean or index array picks."""
        return Detections(self.boxes[keep], self.labels[keep], self.scores[keep], self.masks[keep], self.photo_size)

    def pasted_masks(self, threshold: float = 0.5) -> np.ndarray:
        """The masks in the photo: bool [N, H, W] as torchvision pastes them, [0, H, W] where there are none."""
        if not self.masks.size:
            return np.zeros((0, *self.photo_size), bool)
        pasted = np.zeros((len(self), *self.photo_size), bool)
        # torchvision's way: a border of one cell, corners rounded towards zero, bilinear without aligned corners.
        bordered = np.pad(self.masks, ((0, 0), (1, 1), (1, 1)))
        stretch = bordered.shape[1] / self.masks.shape[1]
        centres, halves = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2, (self.boxes[:, 2:] - self.boxes[:, :2]) / 2
        starts = (centres - halves * stretch).astype(int).tolist()
        ends = (centres + halves * stretch).astype(int).tolist()
        for mask, start, end, out in zip(bordered, starts, ends, pasted, strict=True):
            _paste(mask, start, end, out, threshold)
        return pasted

    def to_coco(self, categories: tuple[str, ...]) -> list[dict[str, Any]]:
        """One dictionary an object: COCO's xywh box and, where there are masks, compressed RLE."""
        segments = [rle(m) for m in self.pasted_masks()] if self.masks.size else [None] * len(self)
        found = []
        for box, label, score, segment in zip(self.boxes, self.labels, self.scores, segments, strict=True):
            x0, y0, x1, y1 = (float(v) for v in box)
            row: dict[str, Any] = {
                "category": categories[label],
                "category_id": int(label),
                "score": float(score),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
            }
            found.append(row | ({"segmentation": segment} if segment else {}))
        return found


def from_canvas(
    canvas: Canvas, boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray, masks: np.ndarray
) -> Detections:
    """Detections in a canvas's pixels, padded with score 0, as detections in the photo's pixels."""
    found = scores > 0
    height, width = canvas.photo_size
    scale = np.array([*canvas.scale, *canvas.scale], np.float32)
    limits = np.array([width, height, width, height], np.float32)
    in_photo = np.clip(boxes[found] / scale, 0, limits)
    return Detections(in_photo, labels[found].astype(np.int64), scores[found], masks[found], canvas.photo_size)


def rle(mask: np.ndarray) -> dict[str, Any]:
    """A boolean mask [H, W] as COCO's compressed run-length encoding, ready for JSON."""
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(v) for v in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def _paste(mask: np.ndarray, start: list[int], end: list[int], out: np.ndarray, threshold: float) -> None:
    """Resample a mask [m, m] onto the pixels ``start`` to ``end`` (x, y; the last included) of ``out`` [H, W]."""
    (x0, y0), (x1, y1), (height, width) = start, end, out.shape
    left, right, top, bottom = max(x0, 0), min(x1 + 1, width), max(y0, 0), min(y1 + 1, height)
    if left >= right or top >= bottom:
        return
    # Plain interpolation, no matrix product: BLAS threads that go on spinning would slow what runs next.
    below, weight = _positions(len(mask), y1 - y0 + 1, top - y0, bottom - y0)
    rows = mask.take(below, axis=0)
    rows += (mask.take(below + 1, axis=0) - rows) * weight[:, None]
    below, weight = _positions(len(mask), x1 - x0 + 1, left - x0, right - x0)
    values = rows.take(below, axis=1)
    values += (rows.take(below + 1, axis=1) - values) * weight
    np.greater(values, threshold, out=out[top:bottom, left:right])


def _positions(cells: int, pixels: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """For pixels ``first`` to ``last`` of ``pixels`` that span ``cells``: the cell below each and the next's weight."""
    step = cells / max(pixels, 1)
    position = np.arange(first, last, dtype=np.float32) * np.float32(step) + np.float32(0.5 * step - 0.5)
    np.clip(position, 0, cells - 1, out=position)
    below = np.minimum(position.astype(np.int64), cells - 2)
    return below, (position - below).astype(np.float32)

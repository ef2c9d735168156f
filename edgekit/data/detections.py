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
        bordered = np.pad(self.masks, ((0, 0), (1, 1), (1, 1)))
        for mask, box, out in zip(bordered, self.boxes, pasted, strict=True):
            _paste(mask, box, out, threshold)
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


def _paste(mask: np.ndarray, box: np.ndarray, out: np.ndarray, threshold: float) -> None:
    """Resample one mask [m, m], with its border of one cell, onto its box and write it into ``out`` [H, W].

    torchvision's way: corners rounded towards zero, bilinear without aligned corners.
    """
    cells = mask.shape[0]
    stretch = cells / (cells - 2)
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * stretch
    x0, y0 = (int(v) for v in centre - half)
    x1, y1 = (int(v) for v in centre + half)
    height, width = out.shape
    left, right, top, bottom = max(x0, 0), min(x1 + 1, width), max(y0, 0), min(y1 + 1, height)
    if left >= right or top >= bottom:
        return
    # Plain interpolation, no matrix product: BLAS threads that go on spinning would slow what runs next.
    below, weight = _positions(cells, y1 - y0 + 1, top - y0, bottom - y0)
    rows = mask[below] * (1 - weight)[:, None] + mask[below + 1] * weight[:, None]
    below, weight = _positions(cells, x1 - x0 + 1, left - x0, right - x0)
    out[top:bottom, left:right] = rows[:, below] * (1 - weight) + rows[:, below + 1] * weight > threshold


def _positions(cells: int, pixels: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """For pixels ``first`` to ``last`` of ``pixels`` that span ``cells``: the cell below each and the next's weight."""
    position = (np.arange(first, last, dtype=np.float32) + 0.5) * (cells / max(pixels, 1)) - 0.5
    position = np.clip(position, 0, cells - 1)
    below = np.minimum(position.astype(np.int64), cells - 2)
    return below, (position - below).astype(np.float32)

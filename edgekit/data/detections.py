"""The one result type: what a model found in a photo, whatever ran it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from edgekit.data.images import Canvas
from edgekit.data.masks import Crop, crops, encode, paste


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
        return paste(self.masks, self.boxes, self.photo_size, threshold)

    def cropped_masks(self, threshold: float = 0.5) -> list[Crop]:
        """``pasted_masks`` where they are not empty: a small part of the memory and of the time."""
        return crops(self.masks, self.boxes, self.photo_size, threshold) if self.masks.size else []

    def to_coco(self, categories: tuple[str, ...]) -> list[dict[str, Any]]:
        """One dictionary per object: COCO's xywh box and, where there are masks, compressed RLE.

        A class that was refined, whose name ``categories`` has for several labels, has the first of them as its id.
        """
        segments = encode(self.masks, self.boxes, self.photo_size) if self.masks.size else [None] * len(self)
        found = []
        for box, label, score, segment in zip(self.boxes, self.labels, self.scores, segments, strict=True):
            x0, y0, x1, y1 = (float(v) for v in box)
            row: dict[str, Any] = {
                "category": categories[label],
                "category_id": categories.index(categories[label]),
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


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The IoU [N, M] of boxes [N, 4] and [M, 4], xyxy."""
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    sides = np.clip(np.minimum(a[:, None, 2:], b[None, :, 2:]) - top_left, 0, None)
    shared = sides[..., 0] * sides[..., 1]
    areas = [(x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1]) for x in (a, b)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)


def rle(mask: np.ndarray) -> dict[str, Any]:
    """A boolean mask [H, W] as COCO's compressed run-length encoding, ready for JSON."""
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(v) for v in encoded["size"]], "counts": encoded["counts"].decode("ascii")}

from __future__ import annotations

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torchvision.models.detection.roi_heads import paste_masks_in_image

from edgekit.data.detections import Detections, from_canvas
from edgekit.data.images import fit


def random_detections(count: int, size: tuple[int, int]) -> Detections:
    rng = np.random.default_rng(0)
    corners = rng.uniform(-5, 1, (count, 2)) + rng.uniform(0, 1, (count, 2)) * (size[1], size[0])
    boxes = np.concatenate([corners, corners + rng.uniform(1, 150, (count, 2))], 1).astype(np.float32)
    masks = rng.random((count, 28, 28), np.float32)
    return Detections(boxes, np.ones(count, np.int64), np.ones(count, np.float32), masks, size)


def test_masks_are_pasted_as_torchvision_does() -> None:
    found = random_detections(60, (180, 240))
    ours = found.pasted_masks()
    boxes, masks = torch.from_numpy(found.boxes), torch.from_numpy(found.masks)[:, None]
    theirs = paste_masks_in_image(masks, boxes, found.photo_size)[:, 0].numpy() > 0.5
    assert ours.shape == theirs.shape
    assert np.array_equal(ours, theirs)


def test_padding_is_dropped_and_boxes_return_to_the_photo() -> None:
    canvas = fit(np.zeros((100, 200, 3), np.uint8), (320, 320))
    boxes = np.array([[16, 16, 160, 160], [0, 0, 400, 400], [1, 1, 2, 2]], np.float32)
    found = from_canvas(canvas, boxes, np.array([1, 2, 3]), np.array([0.9, 0.8, 0], np.float32), np.zeros((3, 28, 28)))
    assert np.allclose(found.boxes, [[10, 10, 100, 100], [0, 0, 200, 100]])
    assert found.labels.tolist() == [1, 2]


def test_coco_rows_decode_to_the_masks() -> None:
    found = random_detections(5, (90, 120))
    rows = found.to_coco(("__background__", "dog"))
    decoded = [coco_mask.decode(r["segmentation"]).astype(bool) for r in rows]
    assert np.array_equal(np.stack(decoded), found.pasted_masks())
    assert rows[0]["category"] == "dog"

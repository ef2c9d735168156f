"""What there is to learn from one view: its RoIs, which object each shows, and what the frozen trunk makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.roi_heads import project_masks_on_boxes
from torchvision.ops import box_area, box_iou

from edgekit.adaptation.features.frozen_trunk import MASK_ROIS, Trunk
from edgekit.adaptation.features.views import View

FOREGROUND_IOU = 0.5  # a RoI that overlaps an object this much shows it; torchvision's box_fg_iou_thresh
CROWD_SHARE = 0.5  # a RoI of which this much is in a crowd region says nothing: it may show one of the crowd
IGNORED = -1  # the label of such a RoI


@dataclass(frozen=True)
class ViewFeatures:
    """One view's R RoIs with their targets; M of those that show an object are there for the masks."""

    rois: torch.Tensor  # float32 [R, 4] xyxy, pixels of the canvas
    box: torch.Tensor  # float16 [R, F], the box head's output
    labels: torch.Tensor  # int64 [R]: the model's label, 0 where no annotated object is, IGNORED in a crowd
    deltas: torch.Tensor  # float32 [R, 4], regression targets; zeros where there is no object
    mask: torch.Tensor  # float16 [M, C, 14, 14], the mask head's output
    mask_labels: torch.Tensor  # int64 [M]
    mask_targets: torch.Tensor  # float16 [M, 28, 28]
    objects: torch.Tensor  # float32 [N, 4] xyxy, the annotated objects
    object_labels: torch.Tensor  # int64 [N]
    proposed: torch.Tensor  # float32 [N], the best IoU of a proposal with each object


def view_features(
    trunk: Trunk, coder: BoxCoder, view: View, rng: np.random.Generator, first_mask: int = 1
) -> ViewFeatures:
    """Run the trunk on a view; the annotated objects are RoIs too, in front of the proposals. The RoIs for masks are
    drawn among those of the labels from ``first_mask`` on that show an object with a mask."""
    levels, proposals = trunk.look(view.pixels)
    objects = torch.from_numpy(view.boxes)
    proposed = box_iou(objects, torch.from_numpy(proposals)) if len(proposals) else torch.zeros(len(objects), 1)
    boxes = np.concatenate([view.boxes, proposals])
    rois = torch.from_numpy(boxes)
    labels, matched = match(rois, objects, torch.from_numpy(view.labels))
    if len(view.crowds):
        crowded = covered(rois, torch.from_numpy(view.crowds)).amax(dim=1) >= CROWD_SHARE
        labels = torch.where(crowded & (labels == 0), IGNORED, labels)
    deltas = torch.zeros(len(rois), 4)
    shown = labels > 0
    if shown.any():
        (deltas[shown],) = coder.encode([objects[matched[shown]]], [rois[shown]])

    teaches = labels >= first_mask
    if len(objects):
        teaches &= torch.from_numpy(view.has_mask)[matched]
    chosen = torch.nonzero(teaches)[:, 0].numpy()
    if len(chosen) > MASK_ROIS:
        chosen = np.sort(rng.choice(chosen, MASK_ROIS, replace=False))
    index = torch.from_numpy(chosen)
    mask = torch.from_numpy(trunk.mask_features(levels, boxes[chosen]))
    side = 2 * mask.shape[-1]
    targets = torch.zeros(len(index), side, side)
    if targets.numel():
        masks = torch.from_numpy(view.masks.astype(np.uint8))
        targets = project_masks_on_boxes(masks, rois[index], matched[index], side)
    return ViewFeatures(
        rois=rois,
        box=torch.from_numpy(trunk.box_features(levels, boxes)).half(),
        labels=labels,
        deltas=deltas,
        mask=mask.half(),
        mask_labels=labels[index],
        mask_targets=targets.half(),
        objects=objects,
        object_labels=torch.from_numpy(view.labels),
        proposed=proposed.amax(dim=1) if len(objects) else torch.zeros(0),
    )


def match(rois: torch.Tensor, objects: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each RoI's label (0 where it shows no object) and the object it overlaps most, both [R]."""
    if not len(objects):
        return torch.zeros(len(rois), dtype=torch.int64), torch.zeros(len(rois), dtype=torch.int64)
    overlap, matched = box_iou(rois, objects).max(dim=1)
    return labels[matched] * (overlap >= FOREGROUND_IOU), matched


def covered(rois: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """The share [R, M] of each RoI [R, 4] that lies in each region [M, 4], as COCO measures overlap with crowds."""
    top_left = torch.maximum(rois[:, None, :2], regions[:, :2])
    sides = (torch.minimum(rois[:, None, 2:], regions[:, 2:]) - top_left).clamp(min=0)
    return sides.prod(dim=2) / box_area(rois)[:, None].clamp(min=1e-6)

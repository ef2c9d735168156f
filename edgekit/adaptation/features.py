"""What the frozen trunk makes of each view, computed once: the RoI features that the new rows learn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.models.detection.roi_heads import project_masks_on_boxes
from torchvision.ops import box_iou

from edgekit.adaptation.views import View, plain_view, varied_view
from edgekit.data.coco import Photo
from edgekit.model.generations import GenerationalRCNN, merged
from edgekit.progress import Track, silent

FOREGROUND_IOU = 0.5  # a RoI that overlaps an object this much shows it; torchvision's box_fg_iou_thresh
MASK_ROIS = 12  # RoIs a view that masks are learned from


@dataclass(frozen=True)
class ViewFeatures:
    """The RoIs of one view, R for the boxes and M of them for the masks."""

    box: torch.Tensor  # float32 [R, F], the box head's output
    others: torch.Tensor  # float32 [R, 1], one logit for the background and all earlier classes
    labels: torch.Tensor  # int64 [R], 0 where no new object is
    deltas: torch.Tensor  # float32 [R, 4], regression targets; zeros where labels is 0
    mask: torch.Tensor  # float16 [M, C, 14, 14], the mask head's output
    mask_labels: torch.Tensor  # int64 [M], from 1
    mask_targets: torch.Tensor  # float16 [M, 28, 28]


@dataclass(frozen=True)
class PhotoFeatures:
    """A photo's views, the plain one first."""

    views: tuple[ViewFeatures, ...]


def extract(
    module: GenerationalRCNN,
    photos: list[Photo],
    classes: tuple[str, ...],
    size: tuple[int, int],
    views: int,
    seed: int,
    track: Track = silent,
) -> list[PhotoFeatures]:
    """Run the trunk over ``views`` views of every photo and keep the features in memory."""
    features = []
    for number, photo in enumerate(track(photos, "computing RoI features")):
        rng = np.random.default_rng([seed, number])
        made = [_view_features(module, v, rng) for v in _views(plain_view(photo, classes, size), views, rng)]
        features.append(PhotoFeatures(tuple(made)))
    return features


def _views(plain: View, count: int, rng: np.random.Generator) -> Iterator[View]:
    yield plain
    for _ in range(count - 1):
        yield varied_view(plain, rng)


@torch.inference_mode()
def _view_features(module: GenerationalRCNN, view: View, rng: np.random.Generator) -> ViewFeatures:
    size = (view.pixels.shape[0], view.pixels.shape[1])
    levels, (proposals,) = module.trunk(torch.tensor(view.pixels)[None])
    objects = torch.from_numpy(view.boxes)
    rois = torch.cat([proposals, objects])
    labels, matched = _match(rois, objects, torch.from_numpy(view.labels))
    if len(view.crowds):
        clear = box_iou(rois, torch.from_numpy(view.crowds)).amax(dim=1) < 0.3
        rois, labels, matched = (t[clear | (labels > 0)] for t in (rois, labels, matched))
    box = module.box_features(levels, [rois], size)
    deltas = torch.zeros(len(rois), 4)
    shown = labels > 0
    if shown.any():
        (deltas[shown],) = module.heads.box_coder.encode([objects[matched[shown]]], [rois[shown]])

    chosen = torch.nonzero(shown)[:, 0].numpy()
    if len(chosen) > MASK_ROIS:
        chosen = np.sort(rng.choice(chosen, MASK_ROIS, replace=False))
    index = torch.from_numpy(chosen)
    mask = module.mask_features(levels, [rois[index]], size)
    if len(index):
        side = 2 * mask.shape[-1]
        masks = torch.from_numpy(view.masks.astype(np.uint8))
        targets = project_masks_on_boxes(masks, rois[index], matched[index], side)
    else:
        targets = torch.zeros(0, 28, 28)
    others = merged(module.logits(box))
    return ViewFeatures(box, others, labels, deltas, mask.half(), labels[index], targets.half())


def _match(rois: torch.Tensor, objects: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each RoI's label (0 where it shows no object) and the object it overlaps most, both [R]."""
    if not len(objects):
        return torch.zeros(len(rois), dtype=torch.int64), torch.zeros(len(rois), dtype=torch.int64)
    overlap, matched = box_iou(rois, objects).max(dim=1)
    return labels[matched] * (overlap >= FOREGROUND_IOU), matched

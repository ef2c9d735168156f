"""The whole detector with static shapes and native operators only, ready for the ONNX exporter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.predictors import Predictors
from edgekit.runtime.selection import OVERLAP_IOU, OVERLAP_ODDS, OVERLAP_SCORE
from edgekit.static.nms import keep_mask, pairwise_iou
from edgekit.static.static_trunk import StaticTrunk, box_limits, clip, decode_boxes, large_enough

MOST_CANDIDATES = (
    512  # the most boxes per generation that enter the detections' NMS, best first; torchvision has no limit
)


class StaticRCNN(nn.Module):
    """A ``GenerationalRCNN`` for canvases of a fixed size; ``class_labels`` are those of its metadata.

    Takes uint8 [N, H, W, 3]; returns boxes [N, D, 4] (xyxy, pixels), labels [N, D], scores [N, D] and, of a Mask
    R-CNN, masks [N, D, 28, 28], with D detection slots for each generation in turn; a slot with score 0 is empty.
    Where N is 1, then what the base model's detections are chosen from and made with (``value_names.CANDIDATES``,
    ``CHOSEN``, ``MASKED``), and what packs read (``INNER``); else the first canvas's proposals only. ``shape`` names
    its size.
    """

    def __init__(self, model: GenerationalRCNN, shape: GraphShape, class_labels: Sequence[int] = ()) -> None:
        super().__init__()
        self.model, self.one_label = model, shape.overlaps == "one"
        # Without a refined class, nothing of the base model's is of the same class as what was added.
        refined = any(first != label for label, first in enumerate(class_labels))
        self.register_buffer("class_labels", torch.tensor(class_labels) if refined else None, persistent=False)
        self.class_labels: torch.Tensor | None
        self.trunk = StaticTrunk(model, shape.input_size, shape.proposals, shape.sampling_cells)
        numbers = range(1 + len(model.predictors.generations))
        self.slots = nn.ModuleList(Slots(model, self.trunk.mask, shape, number) for number in numbers)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Detect in a batch of canvases."""
        seen = self.trunk.each(images)
        found = [self._detect(*one) for one in seen]
        outputs = tuple(torch.stack(values) for values in zip(*(f for f, _, _ in found), strict=True))
        if len(seen) > 1:
            return *outputs, seen[0][1]
        _, chosen, heads = found[0]
        return *outputs, *chosen, *seen[0], *heads

    def _detect(
        self, table: torch.Tensor, proposals: torch.Tensor, proposed: torch.Tensor
    ) -> tuple[list[torch.Tensor], tuple[torch.Tensor, ...], tuple[torch.Tensor, torch.Tensor]]:
        """One canvas's detections, how the base model's were chosen, and its box features and logits."""
        box_features = self.trunk.box(table, proposals)
        predictors, (base, *added) = self.model.predictors, self.slots
        logits, deltas = predictors.box_predictor(box_features)
        result, chosen = base(table, proposals, proposed, logits, deltas[:, 4:])
        results = [result]
        for slots, predicted in zip(added, predictors.added_predictions(box_features, logits), strict=True):
            results.append(slots(table, proposals, proposed, *predicted)[0])
        found = [torch.cat(parts) for parts in zip(*results, strict=True)]
        if self.one_label and len(results) > 1:
            classes = None if self.class_labels is None else self.class_labels[found[1]]
            found[2] = found[2] * uncovered(found[0], found[2], [len(r[2]) for r in results], classes)
        return found, chosen, (box_features, logits)


class Slots(nn.Module):
    """One generation's detections: its own softmax, NMS, detection slots and mask branch."""

    def __init__(self, model: GenerationalRCNN, mask: nn.Module | None, shape: GraphShape, number: int) -> None:
        super().__init__()
        self.predictors: Predictors = model.predictors
        self.mask, self.number = mask, number
        self.score_thresh, self.nms_thresh = model.heads.score_thresh, model.heads.nms_thresh
        self.coder, self.slots = model.heads.box_coder, shape.detections or model.heads.detections_per_img
        self.register_buffer("limits", box_limits(shape.input_size), persistent=False)
        self.limits: torch.Tensor

    def forward(
        self,
        table: torch.Tensor,
        proposals: torch.Tensor,
        proposed: torch.Tensor,
        logits: torch.Tensor,
        deltas: torch.Tensor,
    ) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
        """Boxes [D, 4], labels [D], scores [D] and, with a mask branch, masks [D, 28, 28]; and how they were chosen.

        Column 0 of ``logits`` [P, 1 + K] stands for all that the generation does not score; ``deltas`` [P, 4 K] are
        those of its K classes.
        """
        count = logits.shape[1] - 1
        scores = torch.softmax(logits, dim=1)[:, 1:] * proposed[:, None]
        best, index = scores.reshape(-1).topk(min(MOST_CANDIDATES, 2 * len(proposals), scores.numel()))
        # Each candidate's proposal and class: index = proposal * count + class.
        rows = torch.div(index, count, rounding_mode="floor")
        candidates = (
            best,
            index - rows * count,
            deltas.reshape(-1, 4).index_select(0, index),
            proposals.index_select(0, rows),
        )
        chosen = boxes, classes, scores = self._choose(*candidates)
        channels = classes + 1 if self.number == 0 else classes  # the base model's rows begin with the background
        labels = channels + self.predictors.first_label(self.number)
        if self.mask is None:
            return (boxes, labels, scores), (*candidates, *chosen)
        features = self.mask(table, boxes)
        masks = self._masks(features, channels)
        return (boxes, labels, scores, masks), (*candidates, *chosen, channels, features, masks)

    def _choose(
        self, scores: torch.Tensor, classes: torch.Tensor, deltas: torch.Tensor, proposals: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The boxes [D, 4], classes [D] and scores [D] of N candidates, in falling order, that NMS keeps."""
        boxes = clip(decode_boxes(deltas, proposals, self.coder), self.limits)
        valid = (scores > self.score_thresh).to(scores.dtype) * large_enough(boxes, 1e-2)
        kept = scores * keep_mask(boxes, valid, classes, self.nms_thresh)
        kept, order = kept.topk(min(self.slots, kept.shape[0]))
        return boxes.index_select(0, order), classes.index_select(0, order), kept

    def _masks(self, features: torch.Tensor, channels: torch.Tensor) -> torch.Tensor:
        """The mask [D, 28, 28] of each detection's own channel [D], of the mask head's output."""
        logits = self.predictors.mask_logits(features, self.number)
        side = logits.shape[-1]
        own_channel = channels.reshape(-1, 1, 1, 1).expand(-1, 1, side, side)
        return torch.sigmoid(logits.gather(1, own_channel))[:, 0]


def uncovered(
    boxes: torch.Tensor, scores: torch.Tensor, slots: list[int], classes: torch.Tensor | None = None
) -> torch.Tensor:
    """Float [D]: 1 for boxes [D, 4] that stay where each object is to have one label (``selection.one_label``), else 0.

    ``slots`` is the number of each generation's boxes, the base model's first. ``classes`` [D] are the same for all
    detections of a refined class; None where there is no such class.
    """
    generation = torch.tensor([g for g, count in enumerate(slots) for _ in range(count)], device=boxes.device)
    later = (generation > 0).to(boxes.dtype)
    before = (generation[:, None] < generation[None]).to(boxes.dtype)
    by_score = later[:, None] * later[None]
    score, other = scores[:, None], scores[None]
    likely = (OVERLAP_ODDS * (score * (1 - other)) >= other * (1 - score)).to(boxes.dtype)
    sure = ((scores > OVERLAP_SCORE).to(boxes.dtype) * later)[:, None] * (1 - later) * likely
    if classes is not None:
        same = (classes[:, None] == classes[None]).to(boxes.dtype)
        sure = sure * (1 - same)
        by_score = torch.maximum(by_score, same)
    higher = (score > other).to(boxes.dtype) * (before + before.t()) * by_score
    at_least = (score >= other).to(boxes.dtype) * before * by_score
    hides = torch.maximum(sure, torch.maximum(higher, at_least))
    return 1 - (hides * (pairwise_iou(boxes) >= OVERLAP_IOU).to(boxes.dtype)).amax(dim=0)

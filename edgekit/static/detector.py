"""The whole detector with static shapes and native operators only, ready for the ONNX exporter."""

from __future__ import annotations

import torch
from torch import nn

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.predictors import Predictors, merged
from edgekit.runtime.selection import OVERLAP_IOU, OVERLAP_SCORE
from edgekit.static.nms import keep_mask, pairwise_iou
from edgekit.static.static_trunk import StaticTrunk, box_limits, clip, decode_boxes, large_enough

CANDIDATES = 512  # the most boxes per generation that enter the detections' NMS, best first; torchvision has no limit


class StaticRCNN(nn.Module):
    """A ``GenerationalRCNN`` for canvases of a fixed size.

    Takes uint8 [N, H, W, 3]; returns boxes [N, D, 4] (xyxy, pixels), labels [N, D], scores [N, D] and, of a Mask
    R-CNN, masks [N, D, 28, 28], with D detection slots for each generation in turn; a slot with score 0 is empty.
    Where N is 1, then what each generation's mask branch reads and gives (``mask_values``), and what a later generation
    needs: the trunk's table, proposals and proposed, the box head's output, and the logits of all classes; else the
    first canvas's proposals only. ``shape`` names its size.
    """

    def __init__(self, model: GenerationalRCNN, shape: GraphShape) -> None:
        super().__init__()
        self.model, self.one_label = model, shape.overlaps == "one"
        self.trunk = StaticTrunk(model, shape.input_size, shape.proposals)
        numbers = range(1 + len(model.predictors.generations))
        self.slots = nn.ModuleList(Slots(model, self.trunk.mask, shape, number) for number in numbers)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Detect in a batch of canvases."""
        seen = self.trunk.each(images)
        found = [self._detect(*one) for one in seen]
        outputs = tuple(torch.stack(values) for values in zip(*(f for f, _, _ in found), strict=True))
        if len(seen) > 1:
            return *outputs, seen[0][1]
        _, of_masks, heads = found[0]
        return *outputs, *of_masks, *seen[0], *heads

    def _detect(
        self, table: torch.Tensor, proposals: torch.Tensor, proposed: torch.Tensor
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """One canvas's detections, what its mask branches read and give, and its box features and logits."""
        box_features = self.trunk.box(table, proposals)
        predictors = self.model.predictors
        logits, deltas = predictors.box_predictor(box_features)
        result, of_masks = self.slots[0](table, proposals, proposed, logits, deltas[:, 4:])
        results, mask_values = [result], [*of_masks]
        for generation, slots in zip(predictors.generations, list(self.slots)[1:], strict=True):
            rows, deltas = generation(box_features)
            own_logits = torch.cat([merged(logits), rows], dim=1)
            result, of_masks = slots(table, proposals, proposed, own_logits, deltas)
            results.append(result)
            mask_values += of_masks
            logits = torch.cat([logits, rows], dim=1)
        found = [torch.cat(parts) for parts in zip(*results, strict=True)]
        if self.one_label and len(results) > 1:
            found[2] = found[2] * uncovered(found[0], found[2], [len(r[2]) for r in results])
        return found, mask_values, (box_features, logits)


class Slots(nn.Module):
    """One generation's detections: its own softmax, NMS, detection slots and mask branch."""

    def __init__(self, model: GenerationalRCNN, mask: nn.Module | None, shape: GraphShape, number: int) -> None:
        super().__init__()
        self.predictors: Predictors = model.predictors
        self.mask, self.number = mask, number
        self.score_thresh, self.nms_thresh = model.heads.score_thresh, model.heads.nms_thresh
        self.weights, self.slots = model.heads.box_coder.weights, shape.detections or model.heads.detections_per_img
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
        """Boxes [D, 4], labels [D], scores [D] and, with a mask branch, masks [D, 28, 28]; and ``mask_values``.

        Column 0 of ``logits`` [P, 1 + K] stands for all that the generation does not score; ``deltas`` [P, 4 K] are
        those of its K classes.
        """
        classes = logits.shape[1] - 1
        scores = torch.softmax(logits, dim=1)[:, 1:] * proposed[:, None]
        best, index = scores.reshape(-1).topk(min(CANDIDATES, 2 * len(proposals), scores.numel()))
        # Each candidate's proposal and class: index = proposal * classes + class.
        rows = torch.div(index, classes, rounding_mode="floor")
        kinds = index - rows * classes
        own_deltas = deltas.reshape(-1, 4).index_select(0, index)
        boxes = clip(decode_boxes(own_deltas, proposals.index_select(0, rows), self.weights), self.limits)
        valid = (best > self.score_thresh).to(best.dtype) * large_enough(boxes, 1e-2)
        kept = best * keep_mask(boxes, valid, kinds, self.nms_thresh)
        scores, order = kept.topk(min(self.slots, kept.shape[0]))
        boxes, kinds = boxes.index_select(0, order), kinds.index_select(0, order)
        channels = kinds + 1 if self.number == 0 else kinds  # the base model's rows begin with the background
        labels = channels + self.predictors.first_label(self.number)
        if self.mask is None:
            return (boxes, labels, scores), ()
        masks = self._masks(table, boxes, channels)
        return (boxes, labels, scores, masks), (boxes, channels, masks)

    def _masks(self, table: torch.Tensor, boxes: torch.Tensor, channels: torch.Tensor) -> torch.Tensor:
        """The mask [D, 28, 28] of each box's own class."""
        assert self.mask is not None
        logits = self.predictors.mask_logits(self.mask(table, boxes), self.number)
        side = logits.shape[-1]
        own_channel = channels.reshape(-1, 1, 1, 1).expand(-1, 1, side, side)
        return torch.sigmoid(logits.gather(1, own_channel))[:, 0]


def uncovered(boxes: torch.Tensor, scores: torch.Tensor, slots: list[int]) -> torch.Tensor:
    """Float [D]: 1 for boxes [D, 4] that stay where each object is to have one label (``selection.one_label``), else 0.

    ``slots`` is the number of each generation's boxes, the base model's first.
    """
    generation = torch.tensor([g for g, count in enumerate(slots) for _ in range(count)], device=boxes.device)
    later = (generation > 0).to(boxes.dtype)
    earlier = (generation[:, None] < generation[None]).to(boxes.dtype) * later[:, None]  # both are later ones
    sure = (scores > OVERLAP_SCORE).to(boxes.dtype) * later
    higher = (scores[:, None] > scores[None]).to(boxes.dtype) * (earlier + earlier.t())
    at_least = (scores[:, None] >= scores[None]).to(boxes.dtype) * earlier
    hides = torch.maximum(sure[:, None] * (1 - later), torch.maximum(higher, at_least))
    return 1 - (hides * (pairwise_iou(boxes) >= OVERLAP_IOU).to(boxes.dtype)).amax(dim=0)

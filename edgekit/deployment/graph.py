"""The whole detector with static shapes and native operators only, ready for the ONNX exporter."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.detection.image_list import ImageList

from edgekit.deployment.nms import keep_mask
from edgekit.deployment.roi_align import Mosaic
from edgekit.model.generations import GenerationalRCNN, normalise

CANDIDATES = 512  # the most boxes a generation that enter the detections' NMS, best first; torchvision has no limit
LARGEST_LOG = math.log(1000.0 / 16)  # torchvision's bound on the predicted log of a side's growth


class StaticRCNN(nn.Module):
    """A ``GenerationalRCNN`` for one canvas of a fixed size.

    Takes uint8 [1, H, W, 3]; returns boxes [1, D, 4] (xyxy, pixels), labels [1, D], scores [1, D] and masks
    [1, D, 28, 28], with D detection slots for each generation in turn; a slot with score 0 is empty.
    """

    def __init__(self, model: GenerationalRCNN, size: tuple[int, int]) -> None:
        super().__init__()
        self.model, self.size = model, size
        rpn, heads = model.base.rpn, model.heads
        canvas = torch.zeros(1, *size, 3, dtype=torch.uint8)
        with torch.inference_mode():
            images = normalise(canvas)
            features = model.base.backbone(images)
            levels = list(features.values())
            anchors = rpn.anchor_generator(ImageList(images, [size]), levels)[0]
        counts = [a * f.shape[-2] * f.shape[-1] for a, f in zip(self._anchors_a_cell(), levels, strict=True)]
        self.anchor_counts = counts
        self.register_buffer("anchors", anchors.clone(), persistent=False)
        self.anchors: torch.Tensor
        self.register_buffer("limits", torch.tensor([size[1], size[0]] * 2, dtype=torch.float32), persistent=False)
        self.limits: torch.Tensor
        self.pooled_levels = list(heads.box_roi_pool.featmap_names)
        sizes = [(int(features[n].shape[-2]), int(features[n].shape[-1])) for n in self.pooled_levels]
        strides = [2 ** round(math.log2(size[0] / h)) for h, _ in sizes]
        self.mosaic = Mosaic(sizes, strides)
        self.proposal_count = min(rpn.post_nms_top_n(), sum(min(rpn.pre_nms_top_n(), c) for c in counts))

    def _anchors_a_cell(self) -> list[int]:
        return list(self.model.base.rpn.anchor_generator.num_anchors_per_location())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Detect in one canvas; see the class."""
        model = self.model
        features = model.base.backbone(normalise(images))
        proposals, proposed = self.proposals(list(features.values()))
        mosaic = self.mosaic.lay_out([features[n] for n in self.pooled_levels])
        box_features = model.heads.box_head(self.mosaic(mosaic, proposals, model.heads.box_roi_pool.output_size[0]))
        results = [
            self.detect(mosaic, proposals, proposed, logits, deltas, number)
            for number, (logits, deltas) in enumerate(model.box_predictions(box_features))
        ]
        boxes, labels, scores, masks = (torch.cat(parts)[None] for parts in zip(*results, strict=True))
        return boxes, labels, scores, masks

    def proposals(self, levels: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """The RPN's proposals [P, 4], best first, and which of them are real: float [P]."""
        rpn = self.model.base.rpn
        objectness, deltas = rpn.head(levels)
        most = max(min(rpn.pre_nms_top_n(), c) for c in self.anchor_counts)
        scores, chosen_deltas, chosen_anchors = [], [], []
        for level_scores, level_deltas, anchors in zip(
            objectness, deltas, self.anchors.split(self.anchor_counts), strict=True
        ):
            flat = level_scores.permute(0, 2, 3, 1).reshape(-1)
            cells = level_deltas.reshape(level_scores.shape[1], 4, -1).permute(2, 0, 1).reshape(-1, 4)
            best, index = flat.topk(min(rpn.pre_nms_top_n(), flat.shape[0]))
            missing = most - best.shape[0]  # levels with fewer anchors are filled up with empty boxes
            scores.append(F.pad(best, (0, missing)))
            chosen_deltas.append(F.pad(cells.index_select(0, index), (0, 0, 0, missing)))
            chosen_anchors.append(F.pad(anchors.index_select(0, index), (0, 0, 0, missing)))
        boxes = self._clip(decode(torch.cat(chosen_deltas), torch.cat(chosen_anchors), rpn.box_coder.weights))
        valid = _large_enough(boxes, rpn.min_size)
        by_level = (len(levels), most)
        keep = keep_mask(boxes.reshape(*by_level, 4), valid.reshape(by_level), None, rpn.nms_thresh).reshape(-1)
        ranked = (torch.sigmoid(torch.cat(scores)) + 1) * keep - 1  # -1 where suppressed
        best, index = ranked.topk(self.proposal_count)
        return boxes.index_select(0, index), (best >= 0).to(best.dtype)

    def detect(
        self,
        mosaic: torch.Tensor,
        proposals: torch.Tensor,
        proposed: torch.Tensor,
        logits: torch.Tensor,
        deltas: torch.Tensor,
        number: int,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """One generation's slots; column 0 of ``logits`` [P, K + 1] stands for all that it does not score."""
        heads = self.model.heads
        classes = logits.shape[1] - 1
        scores = torch.softmax(logits, dim=1)[:, 1:] * proposed[:, None]
        best, index = scores.reshape(-1).topk(min(CANDIDATES, 2 * len(proposals), scores.numel()))
        # Each candidate's proposal and class: index = proposal * classes + class.
        rows = torch.div(index, classes, rounding_mode="floor")
        kinds = index - rows * classes
        own_deltas = deltas[:, 4:].reshape(-1, 4).index_select(0, index)
        boxes = self._clip(decode(own_deltas, proposals.index_select(0, rows), heads.box_coder.weights))
        valid = (best > heads.score_thresh).to(best.dtype) * _large_enough(boxes, 1e-2)
        kept = best * keep_mask(boxes, valid, kinds, heads.nms_thresh)
        scores, order = kept.topk(min(heads.detections_per_img, kept.shape[0]))
        boxes, kinds = boxes.index_select(0, order), kinds.index_select(0, order)

        size = heads.mask_roi_pool.output_size[0]
        mask_logits = self.model.mask_logits(heads.mask_head(self.mosaic(mosaic, boxes, size)), number)
        channels = kinds + 1 if number == 0 else kinds  # the base model's rows begin with the background
        side = mask_logits.shape[-1]
        own_channel = channels.reshape(-1, 1, 1, 1).expand(-1, 1, side, side)
        masks = torch.sigmoid(mask_logits.gather(1, own_channel))[:, 0]
        return boxes, channels + self.model.first_label(number), scores, masks

    def _clip(self, boxes: torch.Tensor) -> torch.Tensor:
        return torch.minimum(boxes.clamp(min=0), self.limits)


def decode(deltas: torch.Tensor, anchors: torch.Tensor, weights: tuple[float, ...]) -> torch.Tensor:
    """Boxes [N, 4] xyxy of regression outputs [N, 4] on anchors [N, 4] (arXiv:1311.2524, appendix C)."""
    sides = anchors[:, 2:] - anchors[:, :2]
    centres = anchors[:, :2] + 0.5 * sides
    scaled = deltas / torch.tensor(weights, dtype=deltas.dtype, device=deltas.device)
    centres = scaled[:, :2] * sides + centres
    halves = 0.5 * torch.exp(scaled[:, 2:].clamp(max=LARGEST_LOG)) * sides
    return torch.cat([centres - halves, centres + halves], dim=1)


def _large_enough(boxes: torch.Tensor, least: float) -> torch.Tensor:
    """Float [N]: 1 where both sides of a box are at least ``least`` pixels."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return (sides.amin(dim=1) >= least).to(boxes.dtype)

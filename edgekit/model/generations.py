"""A torchvision R-CNN whose later generations of classes are scored, selected and masked apart from the earlier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, maskrcnn_inference

from edgekit.data.images import MEAN, STD


class Generation(nn.Module):
    """The predictor rows of the classes that one adaptation added; named as in torchvision's predictors."""

    def __init__(self, classes: int, box_features: int, mask_channels: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(box_features, classes)
        self.bbox_pred = nn.Linear(box_features, 4 * classes)
        self.mask_fcn_logits = nn.Conv2d(mask_channels, classes, 1)


class GenerationalRCNN(nn.Module):
    """A Mask R-CNN with exact scoring.

    ``base`` keeps its predictors' shapes, so that it computes to the last bit what it did before; each later
    generation's rows are layers of their own, with their own softmax, NMS, detection slots and mask branch.
    With no added generation it is torchvision's model.
    """

    def __init__(self, base: MaskRCNN, added: Sequence[Generation] = ()) -> None:
        super().__init__()
        self.base = base
        self.added = nn.ModuleList(added)

    @property
    def heads(self) -> RoIHeads:
        """torchvision's ``roi_heads``."""
        return cast(RoIHeads, self.base.roi_heads)

    @property
    def box_predictor(self) -> FastRCNNPredictor:
        """The base model's own, without later generations' rows."""
        return cast(FastRCNNPredictor, self.heads.box_predictor)

    @property
    def mask_predictor(self) -> MaskRCNNPredictor:
        """The base model's own, without later generations' rows."""
        return cast(MaskRCNNPredictor, self.heads.mask_predictor)

    def trunk(self, canvases: torch.Tensor) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
        """FPN features by level and the RPN's proposals [P, 4] a canvas, of uint8 canvases [N, H, W, 3]."""
        images = normalise(canvases)
        features = self.base.backbone(images)
        sizes = [tuple(images.shape[-2:])] * len(images)
        proposals, _ = self.base.rpn(ImageList(images, sizes), features)
        return features, proposals

    def box_features(
        self, features: dict[str, torch.Tensor], boxes: list[torch.Tensor], size: tuple[int, int]
    ) -> torch.Tensor:
        """The box head's output [sum of boxes, F] for boxes [B, 4] a canvas of ``size`` (H, W)."""
        return self.heads.box_head(self.heads.box_roi_pool(features, boxes, [size] * len(boxes)))

    def mask_features(
        self, features: dict[str, torch.Tensor], boxes: list[torch.Tensor], size: tuple[int, int]
    ) -> torch.Tensor:
        """The mask head's output [sum of boxes, C, 14, 14]."""
        return self.heads.mask_head(self.heads.mask_roi_pool(features, boxes, [size] * len(boxes)))

    def mask_logit_features(self, mask_features: torch.Tensor) -> torch.Tensor:
        """What ``mask_fcn_logits`` works on: [N, C, 28, 28], of the mask head's output [N, C, 14, 14]."""
        return self.mask_predictor.relu(self.mask_predictor.conv5_mask(mask_features))

    def logits(self, box_features: torch.Tensor) -> torch.Tensor:
        """Logits [R, 1 + classes] of the background and the classes of all generations, before any softmax."""
        rows = [g.cls_score(box_features) for g in cast(Sequence[Generation], self.added)]
        return torch.cat([self.box_predictor.cls_score(box_features), *rows], dim=1)

    def box_predictions(self, box_features: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Each generation's logits [R, 1 + K] and deltas [R, 4 * (1 + K)]; the first class stands for all it does not
        score (the base model's: the background)."""
        logits, deltas = self.box_predictor(box_features)
        yield logits, deltas
        for generation in cast(Sequence[Generation], self.added):
            rows = generation.cls_score(box_features)
            own_deltas = [torch.zeros_like(deltas[:, :4]), generation.bbox_pred(box_features)]
            yield torch.cat([merged(logits), rows], dim=1), torch.cat(own_deltas, dim=1)
            logits = torch.cat([logits, rows], dim=1)

    def mask_logits(self, mask_features: torch.Tensor, number: int) -> torch.Tensor:
        """One generation's mask logits [N, classes, 28, 28] of the mask head's output; the base model's count the
        background."""
        if number == 0:
            return self.mask_predictor(mask_features)
        rows = cast(Generation, self.added[number - 1]).mask_fcn_logits
        return rows(self.mask_logit_features(mask_features))

    @torch.inference_mode()
    def forward(self, canvases: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """Detections of uint8 canvases [N, H, W, 3]: boxes [D, 4] xyxy in pixels, labels [D], scores [D] and masks
        [D, 28, 28] (probabilities inside the box), the base model's first, then each generation's."""
        size = (int(canvases.shape[1]), int(canvases.shape[2]))
        features, proposals = self.trunk(canvases)
        box_features = self.box_features(features, proposals, size)
        results = [
            self._detect(features, proposals, logits, deltas, size, number)
            for number, (logits, deltas) in enumerate(self.box_predictions(box_features))
        ]
        return [{k: torch.cat([r[i][k] for r in results]) for k in results[0][i]} for i in range(len(canvases))]

    def _detect(
        self,
        features: dict[str, torch.Tensor],
        proposals: list[torch.Tensor],
        logits: torch.Tensor,
        deltas: torch.Tensor,
        size: tuple[int, int],
        number: int,
    ) -> list[dict[str, torch.Tensor]]:
        """One generation's detections, by torchvision's own rules; column 0 of the logits stands for all else."""
        sizes = [size] * len(proposals)
        boxes, scores, labels = self.heads.postprocess_detections(logits, deltas, proposals, sizes)
        mask_logits = self.mask_logits(self.mask_features(features, boxes, size), number)
        if number > 0:  # its rows have no background
            labels = [label - 1 for label in labels]
        masks = maskrcnn_inference(mask_logits, labels)
        labels = [label + self.first_label(number) for label in labels]
        found = zip(boxes, labels, scores, masks, strict=True)
        return [{"boxes": b, "labels": c, "scores": s, "masks": m[:, 0]} for b, c, s, m in found]

    def first_label(self, number: int) -> int:
        """The label of a generation's first class; 0 (the background) for the base model."""
        if number == 0:
            return 0
        earlier = cast(Sequence[Generation], self.added)[: number - 1]
        return self.box_predictor.cls_score.out_features + sum(g.cls_score.out_features for g in earlier)


def normalise(canvases: torch.Tensor) -> torch.Tensor:
    """uint8 [N, H, W, 3] as the float input [N, 3, H, W] that torchvision's transform makes of it."""
    images = canvases.float().permute(0, 3, 1, 2).contiguous() / 255  # TensorRT takes uint8 in a cast only
    mean = torch.tensor(MEAN, device=images.device)[:, None, None]
    std = torch.tensor(STD, device=images.device)[:, None, None]
    return (images - mean) / std


def merged(logits: torch.Tensor) -> torch.Tensor:
    """All earlier classes and the background as one logit [R, 1]: a softmax over it and the new rows gives the new
    classes the probabilities that the softmax over all classes gives them."""
    return torch.logsumexp(logits, dim=1, keepdim=True)

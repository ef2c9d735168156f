"""A torchvision R-CNN whose later generations of classes are scored, selected and masked apart from the earlier."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import cast

import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads, maskrcnn_inference

from edgekit.artifacts.detector_settings import DetectorSettings
from edgekit.model.predictors import Generation, Parents, Predictors

USUAL = DetectorSettings()
MaskFeatures = Callable[[list[torch.Tensor]], torch.Tensor]  # of boxes [B, 4] per canvas: [sum of boxes, C, 14, 14]


class FullFloat32(contextlib.ContextDecorator):
    """Have cuDNN multiply float32 in full; on GPUs since Ampere its default is TF32, with half precision's mantissa.

    PyTorch has one flag for the process: it is off from when the first thread enters until the last one leaves, and
    then what it was before.
    """

    def __init__(self) -> None:
        self.lock, self.inside, self.before = threading.Lock(), 0, True

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.before = torch.backends.cudnn.allow_tf32
                torch.backends.cudnn.allow_tf32 = False
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                torch.backends.cudnn.allow_tf32 = self.before


full_float32 = FullFloat32()  # one for all threads


class GenerationalRCNN(nn.Module):
    """A Mask R-CNN or Faster R-CNN with exact scoring.

    ``base`` keeps its predictors' shapes, so that it computes to the last bit what it did before; each later
    generation's rows are layers of their own, with their own softmax, NMS, detection slots and mask branch.
    With no added generation it is torchvision's model, and float32 is float32 on any device (``full_float32``).
    """

    def __init__(self, base: FasterRCNN, added: Sequence[Generation] = (), parents: Parents | None = None) -> None:
        super().__init__()
        self.base = base
        mask_predictor = self.heads.mask_predictor if self.has_masks else None
        self.predictors = Predictors(self.heads.box_predictor, mask_predictor, added, parents)

    @property
    def heads(self) -> RoIHeads:
        """torchvision's ``roi_heads``."""
        return cast(RoIHeads, self.base.roi_heads)

    @property
    def has_masks(self) -> bool:
        """Whether it is a Mask R-CNN."""
        return bool(self.heads.has_mask())

    @full_float32
    def trunk(self, canvases: torch.Tensor) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
        """FPN features by level and the RPN's proposals [P, 4] per canvas, of uint8 canvases [N, H, W, 3]."""
        transform = self.base.transform
        images = normalise(canvases, transform.image_mean, transform.image_std)
        features = self.base.backbone(images)
        sizes = [tuple(images.shape[-2:])] * len(images)
        proposals, _ = self.base.rpn(ImageList(images, sizes), features)
        return features, proposals

    @full_float32
    def box_features(
        self, features: dict[str, torch.Tensor], boxes: list[torch.Tensor], size: tuple[int, int]
    ) -> torch.Tensor:
        """The box head's output [sum of boxes, F] for boxes [B, 4] per canvas of ``size`` (H, W)."""
        return self.heads.box_head(self.heads.box_roi_pool(features, boxes, [size] * len(boxes)))

    @full_float32
    def mask_features(
        self, features: dict[str, torch.Tensor], boxes: list[torch.Tensor], size: tuple[int, int]
    ) -> torch.Tensor:
        """The mask head's output [sum of boxes, C, 14, 14]."""
        return self.heads.mask_head(self.heads.mask_roi_pool(features, boxes, [size] * len(boxes)))

    @torch.inference_mode()
    def forward(self, canvases: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """Detections of uint8 canvases [N, H, W, 3]: boxes [D, 4] xyxy in pixels, labels [D], scores [D] and masks
        [D, 28, 28] (probabilities inside the box), the base model's first, then each generation's."""
        return self.detect(*self.trunk(canvases), (int(canvases.shape[1]), int(canvases.shape[2])))

    @torch.inference_mode()
    @full_float32
    def detect(
        self,
        features: dict[str, torch.Tensor],
        proposals: list[torch.Tensor],
        size: tuple[int, int],
        box_features: torch.Tensor | None = None,
        mask_features: MaskFeatures | None = None,
        groups: int | None = None,
    ) -> list[dict[str, torch.Tensor]]:
        """What ``forward`` returns, of what ``trunk`` made of canvases of ``size`` (H, W).

        ``box_features`` are the proposals', where they are known already; ``mask_features`` makes those of boxes,
        instead of this model's own. ``groups`` leaves out all but the first so many generations (the base model's
        counts as one).
        """
        if box_features is None:
            box_features = self.box_features(features, proposals, size)
        mask_features = mask_features or partial(self.mask_features, features, size=size)
        predictions = islice(self.predictors.box_predictions(box_features), groups)
        results = [
            self._detect(mask_features, proposals, logits, deltas, size, number)
            for number, (logits, deltas) in enumerate(predictions)
        ]
        return [{k: torch.cat([r[i][k] for r in results]) for k in results[0][i]} for i in range(len(proposals))]

    def _detect(
        self,
        mask_features: MaskFeatures,
        proposals: list[torch.Tensor],
        logits: torch.Tensor,
        deltas: torch.Tensor,
        size: tuple[int, int],
        number: int,
    ) -> list[dict[str, torch.Tensor]]:
        """One generation's detections, by torchvision's own rules; column 0 of the logits stands for all else."""
        sizes = [size] * len(proposals)
        boxes, scores, labels = self.heads.postprocess_detections(logits, deltas, proposals, sizes)
        if number > 0:  # its rows have no background
            labels = [label - 1 for label in labels]
        if self.has_masks:
            mask_logits = self.predictors.mask_logits(mask_features(boxes), number)
            masks = [m[:, 0] for m in maskrcnn_inference(mask_logits, labels)]
        else:
            masks = [b.new_zeros(len(b), 0, 0) for b in boxes]
        labels = [label + self.predictors.first_label(number) for label in labels]
        found = zip(boxes, labels, scores, masks, strict=True)
        return [{"boxes": b, "labels": c, "scores": s, "masks": m} for b, c, s, m in found]


def normalise(
    canvases: torch.Tensor, mean: Sequence[float] = USUAL.mean, std: Sequence[float] = USUAL.std
) -> torch.Tensor:
    """uint8 [N, H, W, 3] as the float input [N, 3, H, W] that torchvision's transform makes of it."""
    images = canvases.float() / 255  # TensorRT takes uint8 in a cast only
    width = canvases.shape[2]  # constants of a whole row, since runtimes are slow at three numbers at a time
    means, deviations = (torch.tensor([*v] * width, device=images.device).reshape(width, 3) for v in (mean, std))
    return ((images - means) / deviations).permute(0, 3, 1, 2).contiguous()

"""The masks that a frozen base model gives the objects in boxes that somebody drew, and how far they can be trusted.

The base model has no rows for the objects' classes, but its own classes' rows say much of what is object and what is
background in a box.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from edgekit.adaptation.features.frozen_trunk import Trunk
from edgekit.artifacts.safetensors_files import tensors_sha256
from edgekit.data.images import fit
from edgekit.model.predictors import Predictors

FILL_SHARPNESS = 10.0  # how much more a class counts whose mask reaches the box's sides


@dataclass(frozen=True)
class BoxMasks:
    """Masks of N boxes as the mask branch gives them, and what speaks for each."""

    masks: torch.Tensor  # float32 [N, m, m], probabilities on the box's grid
    agreement: torch.Tensor  # float32 [N], the IoU of the masks of the photo and of its mirror image
    fill: torch.Tensor  # float32 [N], the least share of a side's length that the mask spans: 1 reaches all sides


@dataclass(frozen=True)
class MaskMaker:
    """What makes masks: the frozen trunk, the base model's own predictors, and the canvas's size."""

    trunk: Trunk
    predictors: Predictors
    size: tuple[int, int]

    @property
    def key(self) -> str:
        """What its masks depend on."""
        own = {"box": self.predictors.box_predictor, "mask": self.predictors.mask_predictor}
        rows = {f"{n}.{k}": t.numpy() for n, m in own.items() if m is not None for k, t in m.state_dict().items()}
        return f"{self.trunk.key} {tensors_sha256(rows)}"

    def masks(self, photo: np.ndarray, boxes: np.ndarray) -> BoxMasks:
        """The masks of boxes [N, 4] (xyxy, pixels) in a photo [h, w, 3]."""
        plain_logits, plain_scores = self._look(photo, boxes)
        mirrored = boxes.copy()
        mirrored[:, [0, 2]] = photo.shape[1] - boxes[:, [2, 0]]
        flipped_logits, flipped_scores = self._look(np.ascontiguousarray(photo[:, ::-1]), mirrored)
        flipped_logits = flipped_logits.flip(3)
        scores = (plain_scores + flipped_scores) / 2
        made = combined_mask((plain_logits + flipped_logits) / 2, scores)
        apart = [combined_mask(logits, scores) > 0.5 for logits in (plain_logits, flipped_logits)]
        shared, either = (apart[0] & apart[1]).sum((1, 2)), (apart[0] | apart[1]).sum((1, 2))
        return BoxMasks(made, shared / either.clamp(min=1), spans(made > 0.5))

    @torch.no_grad()
    def _look(self, photo: np.ndarray, boxes: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """The base model's mask logits [N, K, m, m] and scores [N, K] of its K classes for boxes in a photo."""
        canvas = fit(photo, self.size)
        on_canvas = (boxes * np.tile(canvas.scale, 2)).astype(np.float32)
        levels, _ = self.trunk.look(canvas.pixels)
        box = torch.from_numpy(self.trunk.box_features(levels, on_canvas))
        mask = torch.from_numpy(self.trunk.mask_features(levels, on_canvas))
        scores = self.predictors.box_predictor(box)[0].softmax(1)
        return self.predictors.mask_logits(mask, 0)[:, 1:], scores[:, 1:]


def combined_mask(logits: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """One mask [N, m, m] of probabilities, of the mask logits [N, K, m, m] and scores [N, K] of all classes.

    A class counts more the surer the base model is of it, and the better its mask fills the box: an object touches all
    four sides of its box, so a mask's largest values along rows and columns are all 1 (the projection of BoxInst,
    arXiv:2012.02310).
    """
    masks = logits.sigmoid()
    fill = (masks.amax(2).mean(2) + masks.amax(3).mean(2)) / 2  # [N, K]
    weights = (scores.clamp(min=1e-6).log() / 2 + FILL_SHARPNESS * fill).softmax(1)
    return (weights[:, :, None, None] * logits).sum(1).sigmoid()


def spans(masks: torch.Tensor) -> torch.Tensor:
    """The smaller share [N] of the box's width and height that lies between the ends of masks, bool [N, m, m]."""
    shares = []
    for reached in (masks.any(1), masks.any(2)):  # [N, m], by column and by row
        side = reached.shape[1]
        first, last = reached.int().argmax(1), side - reached.flip(1).int().argmax(1)
        shares.append(torch.where(reached.any(1), (last - first) / side, 0.0))
    return torch.minimum(*shares)

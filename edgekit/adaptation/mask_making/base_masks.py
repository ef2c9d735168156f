"""The masks that a frozen base model gives the objects in boxes that somebody drew, and what speaks for each.

The base model has no rows for these objects' classes, but its own classes' rows tell object from background in a box:
the rows that fill the box best, taken together, with their threshold lowered until all four sides are reached.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from edgekit.adaptation.features.frozen_trunk import Trunk
from edgekit.artifacts.safetensors_files import tensors_sha256
from edgekit.data.images import fit
from edgekit.model.predictors import Predictors

FILLING_CLASSES = 3  # whose logits are averaged (docs/log.md)
SMALL = 96  # pixels of the canvas: a box whose longer side is shorter is looked at enlarged
MOST_SHIFT = 4.0  # of the logits towards object, so that a mask reaches the sides of its box


@dataclass(frozen=True)
class BoxMasks:
    """Masks of N boxes as a mask branch gives them, and what speaks for each."""

    masks: torch.Tensor  # float32 [N, m, m], probabilities on the box's grid
    agreement: torch.Tensor  # float32 [N], the IoU of the masks of the photo and of its mirror image
    lacking: torch.Tensor  # float32 [N], what the logits lacked at the sides of the box: 0 where all are reached


@dataclass(frozen=True)
class MaskMaker:
    """What makes masks: the frozen trunk, the base model's own mask predictor, and the canvas's size."""

    trunk: Trunk
    predictors: Predictors
    size: tuple[int, int]

    @property
    def key(self) -> str:
        """What its masks depend on."""
        assert self.predictors.mask_predictor is not None
        rows = {name: tensor.numpy() for name, tensor in self.predictors.mask_predictor.state_dict().items()}
        return f"{self.trunk.key} {tensors_sha256(rows)}"

    def masks(self, photo: np.ndarray, boxes: np.ndarray) -> BoxMasks:
        """The masks of boxes [N, 4] (xyxy, pixels) in a photo [h, w, 3]."""
        return box_masks(*self.logits(photo, boxes))

    def logits(self, photo: np.ndarray, boxes: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """The base model's mask logits [N, K, m, m] of boxes in a photo, and of the same in its mirror image, flipped
        back."""
        mirrored = boxes.copy()
        mirrored[:, [0, 2]] = photo.shape[1] - boxes[:, [2, 0]]
        return self._logits(photo, boxes), self._logits(np.ascontiguousarray(photo[:, ::-1]), mirrored).flip(3)

    def _logits(self, photo: np.ndarray, boxes: np.ndarray) -> torch.Tensor:
        """The mask logits [N, K, m, m] of the base model's K classes: of large boxes in the whole photo, of each small
        one in what is around it, enlarged."""
        scale = min(self.size[0] / photo.shape[0], self.size[1] / photo.shape[1])
        is_small = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) * scale < SMALL
        large, small = np.flatnonzero(~is_small), np.flatnonzero(is_small)
        found = [self._look(photo, boxes[large])] if len(large) else []
        for box in boxes[small]:
            width, height = box[2:] - box[:2]
            left, top = (int(max(0, v)) for v in (box[0] - width, box[1] - height))
            around = photo[top : int(np.ceil(box[3] + height)), left : int(np.ceil(box[2] + width))]
            found.append(self._look(around, (box - [left, top, left, top])[None]))
        return torch.cat(found)[np.argsort([*large, *small])]

    @torch.no_grad()
    def _look(self, photo: np.ndarray, boxes: np.ndarray) -> torch.Tensor:
        """The mask logits of boxes in a photo on the canvas."""
        canvas = fit(photo, self.size)
        levels, _ = self.trunk.look(canvas.pixels)
        features = self.trunk.mask_features(levels, (boxes * np.tile(canvas.scale, 2)).astype(np.float32))
        return self.predictors.mask_logits(torch.from_numpy(features), 0)[:, 1:]


def box_masks(plain: torch.Tensor, flipped: torch.Tensor) -> BoxMasks:
    """The masks of two views' logits [N, K, m, m], of a photo and of its mirror image, flipped back."""
    best = filling((plain + flipped) / 2)
    views = [torch.stack([own[chosen] for own, chosen in zip(v, best, strict=True)]).mean(1) for v in (plain, flipped)]
    logits = (views[0] + views[1]) / 2
    lacking = lacking_at_sides(logits)
    shift = lacking.clamp(max=MOST_SHIFT)
    first, second = (view + shift[:, None, None] > 0 for view in views)
    shared, either = (first & second).sum((1, 2)), (first | second).sum((1, 2))
    return BoxMasks((logits + shift[:, None, None]).sigmoid(), shared / either.clamp(min=1), lacking)


def filling(logits: torch.Tensor) -> torch.Tensor:
    """The classes [N, ``FILLING_CLASSES``] whose masks, of logits [N, K, m, m], fill the box best.

    An object touches all four sides of its box, so its mask's largest value along each row and column is 1: the
    projection of BoxInst (arXiv:2012.02310).
    """
    masks = logits.sigmoid()
    filled = masks.amax(2).mean(2) + masks.amax(3).mean(2)
    return filled.topk(min(FILLING_CLASSES, filled.shape[1])).indices


def lacking_at_sides(logits: torch.Tensor) -> torch.Tensor:
    """How much [N] to add to logits [N, m, m] so that each of the box's sides has a cell of the object: 0 or more."""
    sides = [logits[:, 0], logits[:, -1], logits[:, :, 0], logits[:, :, -1]]
    return -torch.stack([side.amax(1) for side in sides]).amin(0).clamp(max=0)

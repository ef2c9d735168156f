"""Box regression as MMDetection decodes it."""

from __future__ import annotations

import torch
from torchvision.models.detection._utils import BoxCoder


class SymmetricBoxCoder(BoxCoder):
    """torchvision's, but a side's growth is bounded from below as from above (MMDetection's DeltaXYWHBBoxCoder)."""

    def decode_single(self, rel_codes: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Boxes [N, 4 K] xyxy of regression outputs [N, 4 K] on boxes [N, 4]."""
        least = torch.tensor([-torch.inf] * 2 + [-self.bbox_xform_clip * w for w in self.weights[2:]])
        codes = rel_codes.unflatten(1, (-1, 4)).maximum(least.to(rel_codes)).flatten(1)
        decoded: torch.Tensor = super().decode_single(codes, boxes)
        return decoded

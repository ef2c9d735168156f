"""An RPN that ranks boxes as MMDetection's does."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models.detection.rpn import RegionProposalNetwork


class ScoreRankedRPN(RegionProposalNetwork):
    """torchvision's, but the best boxes of a level are those of the highest scores, not logits: in float32 all scores
    of logits above 17 are 1, and their order is that of the boxes."""

    @classmethod
    def like(cls, rpn: RegionProposalNetwork) -> ScoreRankedRPN:
        """An RPN with the parts and settings of another."""
        ranked = cls.__new__(cls)
        nn.Module.__init__(ranked)
        ranked.__dict__.update(rpn.__dict__)
        return ranked

    def _get_top_n_idx(self, objectness: torch.Tensor, num_anchors_per_level: list[int]) -> torch.Tensor:
        return super()._get_top_n_idx(torch.sigmoid(objectness), num_anchors_per_level)

"""RoIAlign over the levels of an FPN as Detectron2 and MMDetection have it: aligned, with adaptive sampling."""

from __future__ import annotations

from typing import Any

import torch
from torchvision.ops import MultiScaleRoIAlign, roi_align
from torchvision.ops.poolers import _convert_to_roi_format, _filter_input, _setup_scales


class RoIPooling(MultiScaleRoIAlign):
    """torchvision's MultiScaleRoIAlign, to which ``aligned`` is passed on (see ``torchvision.ops.roi_align``).

    A ``sampling_ratio`` of 0 or -1 is adaptive: ceil(side of the RoI in cells / bins) samples per bin and axis.
    """

    def __init__(self, *args: Any, aligned: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.aligned = aligned

    def forward(
        self, x: dict[str, torch.Tensor], boxes: list[torch.Tensor], image_shapes: list[tuple[int, int]]
    ) -> torch.Tensor:
        """Pool the boxes of each image from their levels."""
        levels = _filter_input(x, self.featmap_names)
        scales, choose = _setup_scales(levels, image_shapes, self.canonical_scale, self.canonical_level)
        rois, chosen = _convert_to_roi_format(boxes), choose(boxes)
        pooled = levels[0].new_zeros(len(rois), levels[0].shape[1], *self.output_size)
        for number, (features, scale) in enumerate(zip(levels, scales, strict=True)):
            here = torch.where(chosen == number)[0]
            sampling = max(self.sampling_ratio, 0)
            own = roi_align(features, rois[here], self.output_size, scale, sampling, self.aligned)
            pooled[here] = own.to(pooled.dtype)
        return pooled

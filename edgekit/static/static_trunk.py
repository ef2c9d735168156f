"""The frozen trunk with static shapes and native operators only: body, FPN, RPN, RoI pooling, box head, mask head."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import Permute

from edgekit.model.box_coders import SymmetricBoxCoder
from edgekit.model.generations import GenerationalRCNN, normalise
from edgekit.model.score_ranked_rpn import ScoreRankedRPN
from edgekit.static.nms import keep_mask
from edgekit.static.roi_align import LevelTable, Sampling

# Cells that a bin of adaptive RoIAlign reads by default: exact for all bins of RoIs with aspect ratios of 0.3 to 3, in
# 1.8 to 1.95 (boxes) and 1.1 times the time of 2 samples (benchmarks/results/adaptive_sampling.json).
BOX_CELLS, MASK_CELLS = 36, 16


class StaticTrunk(nn.Module):
    """What every generation of a ``GenerationalRCNN`` shares, for one canvas of a fixed size (H, W).

    Takes uint8 [1, H, W, 3]; returns the FPN's levels as a table [cells, C] (see ``LevelTable``), the RPN's P proposals
    [P, 4], best first, and which of them are real: float [P]. ``proposals`` is P, at most what the RPN can give; the
    model's own number by default. ``sampling_cells`` are those that a bin of adaptive RoIAlign reads.
    """

    def __init__(
        self,
        model: GenerationalRCNN,
        size: tuple[int, int],
        proposals: int | None = None,
        sampling_cells: int | None = None,
    ) -> None:
        super().__init__()
        self.base = model.base
        rpn = self.base.rpn
        features = feature_shapes(self.base, size)
        levels = [torch.zeros(f.shape) for f in features.values()]
        anchors = rpn.anchor_generator(ImageList(torch.zeros(1, 3, *size), [size]), levels)[0]
        cells = rpn.anchor_generator.num_anchors_per_location()
        self.anchor_counts = [a * f.shape[-2] * f.shape[-1] for a, f in zip(cells, levels, strict=True)]
        self.register_buffer("anchors", anchors.clone(), persistent=False)
        self.anchors: torch.Tensor
        self.register_buffer("limits", box_limits(size), persistent=False)
        self.limits: torch.Tensor
        self.pooled_levels = [n for n in features if n in model.heads.box_roi_pool.featmap_names]
        self.box = BoxFeatures(model.heads, pooled_table(self.base, features, size), sampling_cells)
        self.mask = MaskFeatures(model.heads, self.box.levels, sampling_cells) if model.has_masks else None
        self.level_proposals = max(rpn.pre_nms_top_n(), proposals or 0)  # of each level that enter its NMS
        most = sum(min(self.level_proposals, c) for c in self.anchor_counts)
        self.proposal_count = min(proposals or rpn.post_nms_top_n(), most)

    @property
    def samples_adaptively(self) -> bool:
        """Whether the number of RoIAlign's samples depends on a RoI's size."""
        return any(not pooled.sampling.ratio for pooled in (self.box, self.mask) if pooled is not None)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Look at one canvas."""
        (seen,) = self.each(images)
        return seen

    def each(self, images: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """What ``forward`` returns, of each canvas of uint8 [N, H, W, 3]; the convolutions run on all at once."""
        transform = self.base.transform
        features = self.base.backbone(normalise(images, transform.image_mean, transform.image_std))
        objectness, deltas = self.base.rpn.head(list(features.values()))
        results = []
        for i in range(images.shape[0]):
            table = self.box.levels.lay_out([features[n][i : i + 1] for n in self.pooled_levels])
            own = [o[i : i + 1] for o in objectness], [d[i : i + 1] for d in deltas]
            results.append((table, *self.proposals(*own)))
        return results

    def proposals(
        self, objectness: list[torch.Tensor], deltas: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One canvas's proposals [P, 4], best first, and which are real: float [P], of the RPN head's outputs."""
        rpn, by_score = self.base.rpn, isinstance(self.base.rpn, ScoreRankedRPN)
        most = max(min(self.level_proposals, c) for c in self.anchor_counts)
        scores, chosen_deltas, chosen_anchors = [], [], []
        for level_scores, level_deltas, anchors in zip(
            objectness, deltas, self.anchors.split(self.anchor_counts), strict=True
        ):
            flat = level_scores.permute(0, 2, 3, 1).reshape(-1)
            flat = torch.sigmoid(flat) if by_score else flat
            cells = level_deltas.reshape(level_scores.shape[1], 4, -1).permute(2, 0, 1).reshape(-1, 4)
            best, index = flat.topk(min(self.level_proposals, flat.shape[0]))
            missing = most - best.shape[0]  # levels with fewer anchors are filled up with empty boxes
            scores.append(F.pad(best, (0, missing)))
            chosen_deltas.append(F.pad(cells.index_select(0, index), (0, 0, 0, missing)))
            chosen_anchors.append(F.pad(anchors.index_select(0, index), (0, 0, 0, missing)))
        boxes = decode_boxes(torch.cat(chosen_deltas), torch.cat(chosen_anchors), rpn.box_coder)
        boxes = clip(boxes, self.limits)
        probabilities = torch.cat(scores) if by_score else torch.sigmoid(torch.cat(scores))
        valid = large_enough(boxes, max(rpn.min_size, 1e-6))  # not what levels are filled up with
        if rpn.score_thresh > 0:
            valid = valid * (probabilities >= rpn.score_thresh).to(valid.dtype)
        by_level = (len(objectness), most)
        keep = keep_mask(boxes.reshape(*by_level, 4), valid.reshape(by_level), None, rpn.nms_thresh).reshape(-1)
        ranked = probabilities * keep - (1 - keep)  # -1 where suppressed
        best, index = ranked.topk(self.proposal_count)
        return boxes.index_select(0, index), (best >= 0).to(best.dtype)


class BoxFeatures(nn.Module):
    """RoI pooling and the box head: a table [cells, C] and boxes [R, 4] to features [R, F]."""

    def __init__(self, heads: RoIHeads, levels: LevelTable, sampling_cells: int | None) -> None:
        super().__init__()
        self.levels = levels
        self.sampling = Sampling.of(heads.box_roi_pool, sampling_cells or BOX_CELLS)
        self.bins = int(heads.box_roi_pool.output_size[0])
        self.box_head = channels_last(heads.box_head, self.bins)

    def forward(self, table: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Pool the boxes and run the head."""
        return self.box_head(self.levels(table, boxes, self.bins, self.sampling))


class MaskFeatures(nn.Module):
    """RoI pooling and the mask head: a table [cells, C] and boxes [M, 4] to features [M, C, 14, 14]."""

    def __init__(self, heads: RoIHeads, levels: LevelTable, sampling_cells: int | None) -> None:
        super().__init__()
        self.sampling = Sampling.of(heads.mask_roi_pool, sampling_cells or MASK_CELLS)
        self.levels, self.mask_head = levels, heads.mask_head
        self.bins = int(heads.mask_roi_pool.output_size[0])

    def forward(self, table: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Pool the boxes and run the head."""
        return self.mask_head(self.levels(table, boxes, self.bins, self.sampling).permute(0, 3, 1, 2))


def channels_last(box_head: nn.Module, bins: int) -> nn.Module:
    """A box head that takes RoIs [R, bins, bins, C] as they are pooled, for torchvision's [R, C, bins, bins].

    One that begins with a product of all of a RoI's numbers has that product's weights in their order; before others
    the RoIs are transposed.
    """
    if not isinstance(box_head, TwoMLPHead):
        return nn.Sequential(Permute([0, 3, 1, 2]), box_head)
    head = copy.deepcopy(box_head)
    weight = head.fc6.weight.detach().unflatten(1, (-1, bins, bins)).permute(0, 2, 3, 1)
    head.fc6.weight = nn.Parameter(weight.flatten(1).contiguous(), requires_grad=False)
    return head


def channels_first(weight: torch.Tensor, bins: int) -> torch.Tensor:
    """The weight [F, bins * bins * C] of the first product of ``channels_last``'s box head in torchvision's order."""
    return weight.unflatten(1, (bins, bins, -1)).permute(0, 3, 1, 2).flatten(1).contiguous()


def feature_shapes(base: FasterRCNN, size: tuple[int, int]) -> dict[str, torch.Tensor]:
    """The FPN's features on a canvas of ``size`` (H, W), as tensors that have shapes but no values."""
    features: dict[str, torch.Tensor] = copy.deepcopy(base.backbone).to("meta")(torch.zeros(1, 3, *size, device="meta"))
    return features


def pooled_table(base: FasterRCNN, features: dict[str, torch.Tensor], size: tuple[int, int]) -> LevelTable:
    """The table of those of the FPN's ``features`` that ``base`` pools RoIs from; only their shapes count."""
    names = base.roi_heads.box_roi_pool.featmap_names
    sizes = [(int(f.shape[-2]), int(f.shape[-1])) for name, f in features.items() if name in names]
    return LevelTable(sizes, [2 ** round(math.log2(size[0] / h)) for h, _ in sizes])


def decode_boxes(deltas: torch.Tensor, anchors: torch.Tensor, coder: BoxCoder) -> torch.Tensor:
    """Boxes [N, 4] xyxy of regression outputs [N, 4] on anchors [N, 4] (arXiv:1311.2524, appendix C)."""
    sides = anchors[:, 2:] - anchors[:, :2]
    centres = anchors[:, :2] + 0.5 * sides
    scaled = deltas / torch.tensor(coder.weights, dtype=deltas.dtype, device=deltas.device)
    centres = scaled[:, :2] * sides + centres
    most = coder.bbox_xform_clip
    least = -most if isinstance(coder, SymmetricBoxCoder) else None
    halves = 0.5 * torch.exp(scaled[:, 2:].clamp(least, most)) * sides
    return torch.cat([centres - halves, centres + halves], dim=1)


def box_limits(size: tuple[int, int]) -> torch.Tensor:
    """The largest coordinates [4] of a box on a canvas of ``size`` (H, W)."""
    return torch.tensor([size[1], size[0]] * 2, dtype=torch.float32)


def clip(boxes: torch.Tensor, limits: torch.Tensor) -> torch.Tensor:
    """Boxes [N, 4] cut at the canvas's edges."""
    return torch.minimum(boxes.clamp(min=0), limits)


def large_enough(boxes: torch.Tensor, least: float) -> torch.Tensor:
    """Float [N]: 1 where both sides of a box are at least ``least`` pixels."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return (sides.amin(dim=1) >= least).to(boxes.dtype)

"""What training minimises: exact scoring's losses on the new rows, joint scoring's on all rows, and its protections."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from edgekit.adaptation.features.rois import IGNORED, ViewFeatures
from edgekit.adaptation.learning.old_rows import synthetic_negatives
from edgekit.model.predictors import Generation, Predictors, merged

NEGATIVE_WEIGHT = 4.0  # of the RoIs without a new object: fewer false detections, the same AP (docs/log.md)
SYNTHETIC = 2  # synthetic negatives per RoI without an object (docs/log.md)
L2_WEIGHT = 1.0  # of the squared distance of the old rows to their start (L2-SP, arXiv:1802.01483)
DISTILLATION_WEIGHT = 1.0  # of the base model's outputs on the same RoIs (LwF, arXiv:1606.09282)


@dataclass(frozen=True)
class Batch:
    """RoIs of several views: as in ``ViewFeatures``, in float32 and without those to ignore."""

    box: torch.Tensor  # [R, F]
    labels: torch.Tensor  # [R]
    deltas: torch.Tensor  # [R, 4]
    sources: torch.Tensor  # [S, F]: RoIs without an object, of which synthetic negatives are made
    draws: torch.Tensor  # [S, 2] in [0, 1): which ones
    kept: torch.Tensor  # bool [R, F], half of it True: what dropout leaves to the adapter's scores (docs/log.md)
    synthetic_kept: torch.Tensor  # bool [S, F]
    mask: torch.Tensor  # [M, C, 14, 14]
    mask_labels: torch.Tensor  # [M]
    mask_targets: torch.Tensor  # [M, 28, 28]


def collate(chosen_views: list[tuple[ViewFeatures, torch.Generator]], mask_rois: int) -> Batch:
    """The RoIs of several views, at most ``mask_rois`` of each for the masks; each view's generator makes its choices,
    so that they do not depend on the views beside it."""
    parts = [_chosen(view, generator, mask_rois) for view, generator in chosen_views]
    return Batch(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def _chosen(view: ViewFeatures, generator: torch.Generator, mask_rois: int) -> tuple[torch.Tensor, ...]:
    """One view's part of each of a batch's tensors."""
    masks = torch.randperm(len(view.mask_labels), generator=generator)[:mask_rois]
    learned = view.labels != IGNORED
    box, labels = view.box[learned].float(), view.labels[learned]
    empty = torch.nonzero(labels == 0)[:, 0]
    draws = torch.rand((SYNTHETIC * len(empty), 3), generator=generator)
    sources = box[empty[(len(empty) * draws[:, 0]).long()]]
    kept, synthetic_kept = _halves(len(box) + len(sources), box.shape[1], generator).split([len(box), len(sources)])
    return (
        *(box, labels, view.deltas[learned], sources, draws[:, 1:], kept, synthetic_kept),
        *(view.mask[masks].float(), view.mask_labels[masks], view.mask_targets[masks].float()),
    )


def _halves(rows: int, columns: int, generator: torch.Generator) -> torch.Tensor:
    """bool [rows, columns], each True with a chance of a half: a random bit each, since random floats take long."""
    random = torch.randint(256, (rows, math.ceil(columns / 8)), dtype=torch.uint8, generator=generator)
    return torch.from_numpy(np.unpackbits(random.numpy(), axis=1, count=columns).view(np.bool_))


class ExactObjective:
    """The newest generation's rows against one logit that stands for everything before it.

    The rows alone and the rows with their adapter are trained side by side: the first are what torchvision's layout
    can hold, the second what edgekit runs. Negatives are, besides RoIs, ``synthetic_negatives`` of the old classes but
    for those, of the labels ``refined``, that the generation refines.
    """

    def __init__(self, predictors: Predictors, generation: Generation, refined: Collection[int] = ()) -> None:
        self.predictors, self.generation, self.refined = predictors, generation, refined
        self.first = predictors.first_label(len(predictors.generations) + 1)

    def losses(self, batch: Batch, counts: torch.Tensor) -> torch.Tensor:
        """Classification, box, mask and protection loss, [4]: sums over RoIs, divided by ``counts``, [2], of RoIs with
        an object and of those for masks, in all processes. Of labels from ``first`` on are objects that are learned."""
        box, kept, labels, others = self._with_negatives(batch)
        generation, shown = self.generation, batch.labels >= self.first
        scores = [generation.cls_score(box)]
        deltas = [generation.bbox_pred(batch.box[shown])]
        if generation.adapter is not None:
            # The rows are constants here: the adapter learns what they lack, and they stay a predictor of their own.
            scores.append(generation.adapter.scores(box, kept))
            deltas.append(deltas[0].detach() + generation.adapter.more_deltas(batch.box[shown]))
        weights = torch.ones(1 + generation.classes)
        weights[0] = NEGATIVE_WEIGHT
        # torchvision samples three negatives for each RoI with an object; the same balance keeps the losses' scales.
        count = 4 * counts[0].clamp(min=1)
        classification = (
            sum(F.cross_entropy(torch.cat([others, s], dim=1), labels, weights, reduction="sum") for s in scores)
            / count
        )
        columns = batch.labels[shown] - self.first
        regression = sum(_box_loss(d, columns, batch.deltas[shown]) for d in deltas) / count
        zero = torch.zeros(())
        mask = self._mask_loss(batch) / counts[1].clamp(min=1) if generation.mask_fcn_logits is not None else zero
        return torch.stack([torch.as_tensor(v) for v in (classification, regression, mask, zero)])

    @torch.no_grad()
    def _with_negatives(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        """RoIs and synthetic negatives for the scores: features [N, F], which are kept [N, F], labels [N] (0 without a
        new object) and the logit [N, 1] that stands for all old classes."""
        new = (batch.labels - self.first + 1).clamp(min=0)
        synthetic = synthetic_negatives(self.predictors, batch.sources, batch.draws, self.refined)
        others = merged(torch.cat([self.predictors.logits(batch.box), self.predictors.logits(synthetic)]))
        box, kept = torch.cat([batch.box, synthetic]), torch.cat([batch.kept, batch.synthetic_kept])
        labels = torch.cat([new, torch.zeros(len(synthetic), dtype=torch.int64)])
        return box, kept, labels, others

    def _mask_loss(self, batch: Batch) -> torch.Tensor:
        generation = self.generation
        new = batch.mask_labels >= self.first
        if not new.any():
            return torch.zeros(())
        features, targets, labels = batch.mask[new], batch.mask_targets[new], batch.mask_labels[new] - self.first
        with torch.no_grad():
            shared = self.predictors.shared_mask_features(features)
        assert generation.mask_fcn_logits is not None
        total = _mask_loss(generation.mask_fcn_logits(shared), labels, targets)
        if generation.adapter is not None and generation.adapter.mask is not None:
            total = total + _mask_loss(generation.adapter.mask(features), labels, targets)
        return total


class JointObjective:
    """All rows in one softmax, the old ones protected: "none", "frozen" (they are not among what trains), "l2" (to
    their start) or "distill" (the base model's scores and boxes on the same RoIs)."""

    def __init__(self, predictors: Predictors, generation: Generation, protect: str, processes: int) -> None:
        self.predictors, self.generation = predictors, generation
        self.protect, self.processes = protect, processes
        self.before = copy.deepcopy(predictors).requires_grad_(False)
        self.first = 1
        self.first_new = predictors.first_label(len(predictors.generations) + 1)

    def losses(self, batch: Batch, counts: torch.Tensor) -> torch.Tensor:
        """As ``ExactObjective``'s, of all rows."""
        with torch.no_grad():
            before = self.before.logits(batch.box)
        old = self.predictors.box_predictor
        logits = torch.cat([old.cls_score(batch.box), self.generation.cls_score(batch.box)], dim=1)
        deltas = torch.cat([old.bbox_pred(batch.box), self.generation.bbox_pred(batch.box)], dim=1)
        weights = torch.ones(logits.shape[1])
        weights[0] = NEGATIVE_WEIGHT
        count = 4 * counts[0].clamp(min=1)
        classification = F.cross_entropy(logits, batch.labels, weights, reduction="sum") / count
        shown = batch.labels > 0
        regression = _box_loss(deltas[shown], batch.labels[shown], batch.deltas[shown]) / count
        mask = torch.zeros(())
        if self.predictors.mask_predictor is not None and len(batch.mask):
            rows = self.predictors.mask_predictor.mask_fcn_logits
            assert self.generation.mask_fcn_logits is not None
            shared = self.predictors.shared_mask_features(batch.mask)
            mask_logits = torch.cat([rows(shared), self.generation.mask_fcn_logits(shared)], dim=1)
            mask = _mask_loss(mask_logits, batch.mask_labels, batch.mask_targets) / counts[1].clamp(min=1)
        return torch.stack([classification, regression, mask, self._protection(batch, before, logits, deltas, count)])

    def _protection(
        self, batch: Batch, before: torch.Tensor, logits: torch.Tensor, deltas: torch.Tensor, count: torch.Tensor
    ) -> torch.Tensor:
        if self.protect == "l2":
            pairs = zip(self.predictors.parameters(), self.before.parameters(), strict=True)
            distance = torch.stack([((now - then) ** 2).sum() for now, then in pairs]).sum()
            return L2_WEIGHT * distance / self.processes  # each process adds its part
        if self.protect == "distill":
            without_new = batch.labels < self.first_new
            target = F.softmax(before[without_new], dim=1)
            kept = F.log_softmax(logits[without_new][:, : self.first_new], dim=1)
            scores = F.kl_div(kept, target, reduction="sum")
            old_deltas = self.before.box_predictor.bbox_pred(batch.box[without_new])
            seen = target.repeat_interleave(4, dim=1)  # boxes of classes that the base model does not see do not count
            boxes = (seen * (deltas[without_new][:, : 4 * self.first_new] - old_deltas) ** 2)[:, 4:].sum()
            return DISTILLATION_WEIGHT * (scores + boxes) / count
        return torch.zeros(())


Objective = ExactObjective | JointObjective


def _box_loss(deltas: torch.Tensor, columns: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Summed smooth L1 of each RoI's own class: deltas [R, 4 K], columns [R], targets [R, 4]."""
    own = deltas.unflatten(1, (-1, 4))[torch.arange(len(columns)), columns]
    return F.smooth_l1_loss(own, targets, beta=1 / 9, reduction="sum")


def _mask_loss(logits: torch.Tensor, columns: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Summed over RoIs, the mean binary cross entropy of each one's own class: logits [M, K, 28, 28]."""
    own = logits[torch.arange(len(columns)), columns]
    return F.binary_cross_entropy_with_logits(own, targets, reduction="sum") / own[0].numel()

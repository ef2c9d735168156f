"""Train a generation's rows on cached RoI features; nothing else of the model takes part."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from edgekit.adaptation.features import PhotoFeatures, ViewFeatures
from edgekit.errors import EdgekitError
from edgekit.model.generations import Generation, GenerationalRCNN
from edgekit.progress import Track, silent

BATCH = 8  # photos a step
MASK_ROIS = 4  # RoIs a view and step that the mask rows learn from
NEGATIVE_WEIGHT = 4.0  # of the RoIs without a new object: fewer false detections, the same AP (docs/log.md)
WARM_UP = 0.05  # share of the steps


@dataclass(frozen=True)
class Losses:
    """Mean losses of one epoch."""

    epoch: int
    classification: float
    box: float
    mask: float


def train(
    module: GenerationalRCNN,
    generation: Generation,
    photos: list[PhotoFeatures],
    epochs: int,
    lr: float,
    seed: int,
    track: Track = silent,
) -> list[Losses]:
    """Fit the rows with AdamW; in epoch e every photo shows its view e modulo the number of its views."""
    shuffler = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(generation.parameters(), lr=lr, weight_decay=1e-4)
    batches = math.ceil(len(photos) / BATCH)
    steps, step, history = epochs * batches, 0, []
    generation.train()
    for epoch in track(range(epochs), "training the new rows"):
        sums = torch.zeros(3)
        for chosen in torch.randperm(len(photos), generator=shuffler).split(BATCH):
            for group in optimizer.param_groups:
                group["lr"] = lr * _schedule(step, steps)
            views = [photos[int(i)].views[epoch % len(photos[int(i)].views)] for i in chosen]
            losses = torch.stack(_losses(module, generation, views, shuffler))
            total = losses.sum()
            if not torch.isfinite(total):
                raise EdgekitError(
                    f"the loss became {total.item()} in epoch {epoch + 1}", f"use a smaller --lr than {lr}"
                )
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            sums += losses.detach()
            step += 1
        history.append(Losses(epoch + 1, *(round(float(v) / batches, 5) for v in sums)))
    generation.eval()
    return history


def _losses(
    module: GenerationalRCNN, generation: Generation, views: list[ViewFeatures], shuffler: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Classification, box regression and mask loss of a batch of views.

    Every proposal without a new object is a negative, so the hard ones weigh most: an easy one's loss is near zero.
    """
    box, others, labels, deltas = (
        torch.cat([getattr(v, name) for v in views]) for name in ("box", "others", "labels", "deltas")
    )
    shown = torch.nonzero(labels)[:, 0]
    count = max(len(shown), 1)
    logits = torch.cat([others, generation.cls_score(box)], dim=1)
    # torchvision samples three negatives for each RoI with an object; the same balance keeps the losses' scales.
    weights = torch.ones(logits.shape[1])
    weights[0] = NEGATIVE_WEIGHT
    classification = F.cross_entropy(logits, labels, weights, reduction="sum") / (4 * count)
    own = generation.bbox_pred(box[shown]).unflatten(1, (-1, 4))[torch.arange(len(shown)), labels[shown] - 1]
    regression = F.smooth_l1_loss(own, deltas[shown], beta=1 / 9, reduction="sum") / (4 * count)

    chosen = [torch.randperm(len(v.mask_labels), generator=shuffler)[:MASK_ROIS] for v in views]
    mask_labels = torch.cat([v.mask_labels[c] for v, c in zip(views, chosen, strict=True)])
    if not len(mask_labels):
        return classification, regression, torch.zeros(())
    with torch.no_grad():
        shared = module.mask_logit_features(torch.cat([v.mask[c] for v, c in zip(views, chosen, strict=True)]).float())
    rows = torch.arange(len(mask_labels))
    mask_logits = generation.mask_fcn_logits(shared)[rows, mask_labels - 1]
    targets = torch.cat([v.mask_targets[c] for v, c in zip(views, chosen, strict=True)]).float()
    return classification, regression, F.binary_cross_entropy_with_logits(mask_logits, targets)


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine to zero."""
    warm_up = max(1, int(WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))

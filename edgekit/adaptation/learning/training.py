"""The training loop: predictor rows on cached RoI features; nothing else of the model takes part."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from edgekit.adaptation.features.extraction import PhotoFeatures
from edgekit.adaptation.learning.objectives import Objective, collate
from edgekit.errors import EdgekitError
from edgekit.processes import Processes
from edgekit.progress import Track, silent

BATCH = 4  # photos a step (docs/log.md)
NOISE = 0.02  # of the held-out score: an epoch less than this below the best so far is as good, and trained longer
CHECKED = 5  # every so many epochs, and the first and the last, are measured on held-out photos
LEAST = 16  # views an epoch: few photos are shown several times, in different views (docs/log.md)
MASK_ROIS = 4  # RoIs a view and step that the mask rows learn from
WARM_UP = 0.05  # of the steps
WEIGHT_DECAY = 1e-4  # AdamW's


@dataclass(frozen=True)
class Epoch:
    """Mean losses of one epoch and, if it was measured, how well it did on held-out photos."""

    epoch: int
    classification: float
    box: float
    mask: float
    protection: float
    held_out: float | None


@dataclass(frozen=True)
class Training:
    """All epochs, which one's weights were kept, and why training stopped early, if it did."""

    epochs: tuple[Epoch, ...]
    best_epoch: int
    stopped: str | None = None


def train(
    trained: nn.Module,
    groups: Sequence[tuple[list[nn.Parameter], float]],
    objective: Objective,
    photos: Sequence[PhotoFeatures],
    epochs: int,
    lr: float,
    seed: int,
    ranks: Processes,
    held_out: Callable[[], float] | None = None,
    track: Track = silent,
) -> Training:
    """Fit groups of (parameters, share of the peak learning rate ``lr``) of ``trained`` with AdamW.

    An epoch shows every photo, few photos several times, each time its next view (modulo their number). ``held_out``
    says after an epoch how good the model is; the weights of the last epoch that is as good as the best are kept, or,
    without it, of the last. A loss that is not finite ends the training with the weights kept so far, or raises where
    there are none.
    """
    optimizer = torch.optim.AdamW(
        [{"params": p, "share": share} for p, share in groups if p], lr=lr, weight_decay=WEIGHT_DECAY
    )
    parameters = [p for group, _ in groups for p in group]
    shuffler = torch.Generator().manual_seed(seed)
    repeats = math.ceil(LEAST / len(photos))
    batches = math.ceil(repeats * len(photos) / BATCH)
    steps, step = epochs * batches, 0
    history: list[Epoch] = []
    best = _Best(copy.deepcopy(trained.state_dict()))
    trained.train()
    for epoch in track(range(epochs), "training the new rows"):
        sums = torch.zeros(4)
        for chosen in torch.randperm(repeats * len(photos), generator=shuffler).split(BATCH):
            for group in optimizer.param_groups:
                group["lr"] = lr * group["share"] * share_of_peak(step, steps)
            sums += _step(objective, optimizer, parameters, photos, chosen.tolist(), epoch * repeats, seed, ranks)
            step += 1
        losses = [round(float(v) / batches, 5) for v in sums]
        if not all(math.isfinite(v) for v in losses):
            advice = f"the loss became {sum(losses)} in epoch {epoch + 1}: use a smaller --lr than {lr:g}"
            if not history:
                raise EdgekitError(f"the loss became {sum(losses)} in epoch 1", f"use a smaller --lr than {lr:g}")
            trained.load_state_dict(best.state)
            trained.eval()
            return Training(tuple(history), best.epoch, advice)
        last = epoch + 1 == epochs
        checked = held_out is not None and (epoch == 0 or last or (epoch + 1) % CHECKED == 0)
        score = held_out() if held_out and checked else None
        classification, box, mask, protection = losses
        history.append(Epoch(epoch + 1, classification, box, mask, protection, score and round(score, 5)))
        if held_out is None:
            best = _Best(copy.deepcopy(trained.state_dict()), epoch + 1)
        elif score is not None and score >= best.score - NOISE:
            best = _Best(copy.deepcopy(trained.state_dict()), epoch + 1, max(score, best.score))
    trained.load_state_dict(best.state)
    trained.eval()
    return Training(tuple(history), best.epoch)


def share_of_peak(step: int, steps: int) -> float:
    """The share of the peak learning rate at a step: it rises linearly, then falls to zero by half a cosine."""
    rising = max(1, int(WARM_UP * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


@dataclass(frozen=True)
class _Best:
    """The weights to keep so far."""

    state: dict[str, torch.Tensor]
    epoch: int = 0
    score: float = -math.inf


def _step(
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    parameters: list[nn.Parameter],
    photos: Sequence[PhotoFeatures],
    chosen: list[int],
    first_view: int,
    seed: int,
    ranks: Processes,
) -> torch.Tensor:
    """One step on the chosen photos, shared out over the processes; returns the losses [4]."""
    mine = ranks.share(chosen)
    counts, losses = torch.zeros(2), torch.zeros(4)
    batch = None
    if mine:
        # The choice of RoIs depends on the photo and the view alone, so that any number of processes makes the same.
        shown = [(i % len(photos), first_view + i // len(photos)) for i in mine]
        batch = collate([(photos[i].load(v), _generator(seed, v, i)) for i, v in shown], MASK_ROIS)
        counts = objective.counts(batch).float()
    counts = ranks.sum(counts)
    optimizer.zero_grad()
    if batch is not None:
        losses = objective.losses(batch, counts)
        losses.sum().backward()
    ranks.sum_gradients(parameters)
    losses = ranks.sum(losses.detach().clone())
    if torch.isfinite(losses).all():
        optimizer.step()
    return losses


def _generator(seed: int, view: int, photo: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed * 1_000_003 + view) * 1_000_003 + photo)

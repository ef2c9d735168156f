"""The training loop: predictor rows on cached RoI features; nothing else of the model takes part."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from edgekit.adaptation.features.extraction import PhotoFeatures
from edgekit.adaptation.learning.learning_options import Learning
from edgekit.adaptation.learning.objectives import Objective, collate
from edgekit.errors import EdgekitError
from edgekit.processes import Processes
from edgekit.progress import Track, silent

BATCH = 4  # photos per step (docs/log.md)
NOISE = 0.02  # of the held-out score: an epoch less than this below the best so far is as good, and trained longer
CHECKED = 5  # every so many epochs, and the first and the last, are measured on held-out photos
LEAST = 16  # views per epoch: few photos are shown several times, in different views (docs/log.md)
MASK_ROIS = 4  # RoIs per view and step that the mask rows learn from
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
    learning: Learning,
    ranks: Processes,
    held_out: Callable[[], float] | None = None,
    track: Track = silent,
) -> Training:
    """Fit groups of (parameters, share of the peak learning rate) of ``trained`` with AdamW.

    An epoch shows every photo, few photos several times, each time its next view (modulo their number). ``held_out``
    says after an epoch how good the model is; the weights of the last epoch that is as good as the best are kept, or,
    without it, of the last. A loss that is not finite ends the training with the weights kept so far, or raises where
    there are none.
    """
    epochs, history, stopped = learning.epochs, list[Epoch](), None
    steps = _Steps(groups, objective, photos, learning, ranks)
    kept, best_epoch, best_score = copy.deepcopy(trained.state_dict()), 0, -math.inf
    trained.train()
    for epoch in track(range(epochs), "training the new rows"):
        losses = steps.epoch(epoch)
        if not all(math.isfinite(v) for v in losses):
            wrong = f"the loss became {sum(losses)} in epoch {epoch + 1}"
            remedy = f"use a smaller --lr than {learning.lr:g}"
            if not history:
                raise EdgekitError(wrong, remedy)
            stopped = f"{wrong}: {remedy}"
            break
        checked = epoch == 0 or epoch + 1 == epochs or (epoch + 1) % CHECKED == 0
        score = held_out() if held_out and checked else None
        classification, box, mask, protection = losses
        history.append(Epoch(epoch + 1, classification, box, mask, protection, score and round(score, 5)))
        if held_out is None:
            kept, best_epoch = copy.deepcopy(trained.state_dict()), epoch + 1
        elif score is not None and score >= best_score - NOISE:
            kept, best_epoch = copy.deepcopy(trained.state_dict()), epoch + 1
            best_score = max(score, best_score)
    trained.load_state_dict(kept)
    trained.eval()
    return Training(tuple(history), best_epoch, stopped)


def share_of_peak(step: int, steps: int) -> float:
    """The share of the peak learning rate at a step: it rises linearly, then falls to zero by half a cosine."""
    rising = max(1, int(WARM_UP * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


class _Steps:
    """The optimiser's steps, epoch by epoch, each on a few photos that the processes share out."""

    def __init__(
        self,
        groups: Sequence[tuple[list[nn.Parameter], float]],
        objective: Objective,
        photos: Sequence[PhotoFeatures],
        learning: Learning,
        ranks: Processes,
    ) -> None:
        self.objective, self.photos, self.learning, self.ranks = objective, photos, learning, ranks
        self.parameters = [p for group, _ in groups for p in group]
        settings = [{"params": p, "share": share} for p, share in groups if p]
        self.optimizer = torch.optim.AdamW(settings, lr=learning.lr, weight_decay=WEIGHT_DECAY)
        self.shuffler = torch.Generator().manual_seed(learning.seed)
        self.repeats = math.ceil(LEAST / len(photos))
        self.batches = math.ceil(self.repeats * len(photos) / BATCH)

    def epoch(self, number: int) -> list[float]:
        """Show every photo ``repeats`` times; returns the mean losses [4]."""
        sums, step = torch.zeros(4), number * self.batches
        shown = torch.randperm(self.repeats * len(self.photos), generator=self.shuffler)
        for chosen in shown.split(BATCH):
            for group in self.optimizer.param_groups:
                share = share_of_peak(step, self.learning.epochs * self.batches)
                group["lr"] = self.learning.lr * group["share"] * share
            sums += self._step(chosen.tolist(), number * self.repeats)
            step += 1
        return [round(float(v) / self.batches, 5) for v in sums]

    def _step(self, chosen: list[int], first_view: int) -> torch.Tensor:
        mine = self.ranks.share(chosen)
        counts, losses = torch.zeros(2), torch.zeros(4)
        batch = None
        if mine:
            # The choice of RoIs depends on photo and view alone, so that any number of processes makes the same.
            count, seed = len(self.photos), self.learning.seed
            shown = [(i % count, first_view + i // count) for i in mine]
            batch = collate([(self.photos[i].load(v), _generator(seed, v, i)) for i, v in shown], MASK_ROIS)
            first = self.objective.first
            counts = torch.tensor([(batch.labels >= first).sum(), (batch.mask_labels >= first).sum()]).float()
        counts = self.ranks.sum(counts)
        self.optimizer.zero_grad()
        if batch is not None:
            losses = self.objective.losses(batch, counts)
            losses.sum().backward()
        self.ranks.sum_gradients(self.parameters)
        losses = self.ranks.sum(losses.detach().clone())
        if torch.isfinite(losses).all():
            self.optimizer.step()
        return losses


def _generator(seed: int, view: int, photo: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed * 1_000_003 + view) * 1_000_003 + photo)

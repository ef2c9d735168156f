"""The loop: when it stops early, and what is kept then."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import nn

from edgekit.adaptation.features.extraction import PhotoFeatures
from edgekit.adaptation.features.rois import ViewFeatures
from edgekit.adaptation.learning.learning_options import Learning
from edgekit.adaptation.learning.objectives import Batch
from edgekit.adaptation.learning.training import BATCH, LEAST, share_of_peak, train
from edgekit.processes import Processes

NONE, LABELS = torch.zeros(0), torch.zeros(1, dtype=torch.int64)
MASKS = (torch.zeros(0, 1, 14, 14), LABELS[:0], torch.zeros(0, 28, 28))
VIEW = ViewFeatures(torch.zeros(1, 4), torch.ones(1, 2), LABELS, torch.zeros(1, 4), *MASKS, NONE, NONE, NONE)


class Exploding:
    """A loss of one layer that is no number from some step on."""

    def __init__(self, layer: nn.Linear, sound_steps: int) -> None:
        self.layer, self.sound_steps, self.seen = layer, sound_steps, 0
        self.weights: list[torch.Tensor] = []
        self.first = 0

    def losses(self, batch: Batch, _counts: torch.Tensor) -> torch.Tensor:
        self.seen += 1
        self.weights.append(self.layer.weight.detach().clone())
        value = self.layer(batch.box).sum() * (1 if self.seen <= self.sound_steps else torch.nan)
        return torch.stack([value, *torch.zeros(3)])


def test_a_loss_that_becomes_nan_keeps_the_last_sound_epoch() -> None:
    layer = nn.Linear(2, 1)
    epoch = LEAST // BATCH
    objective = Exploding(layer, sound_steps=2 * epoch + 1)
    photo = cast(PhotoFeatures, SimpleNamespace(load=lambda _view: VIEW))
    groups = [(list(layer.parameters()), 1.0)]
    result = train(layer, groups, objective, [photo], Learning(epochs=5, lr=0.1), Processes())
    assert len(result.epochs) == result.best_epoch == 2
    assert result.stopped is not None
    assert "use a smaller --lr than 0.1" in result.stopped
    assert torch.equal(layer.weight, objective.weights[2 * epoch])  # as the third epoch found it


def test_the_learning_rate_rises_then_falls_by_half_a_cosine() -> None:
    shares = [share_of_peak(step, 105) for step in (0, 4, 5, 55, 104)]
    assert shares == pytest.approx([0.2, 1, 1, 0.5, 0.5 * (1 - math.cos(math.pi / 100))])
    assert share_of_peak(0, 4) == 1  # too few steps to rise in

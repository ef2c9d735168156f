"""A quick adaptation on half of the photos, to judge the annotations of the other half: scores and boxes, no masks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from edgekit.adaptation.features.extraction import PhotoFeatures
from edgekit.adaptation.job import ROWS_SHARE
from edgekit.adaptation.learning.initialise import new_generation
from edgekit.adaptation.learning.learning_options import Learning
from edgekit.adaptation.learning.objectives import ExactObjective
from edgekit.adaptation.learning.old_rows import complete_rows
from edgekit.adaptation.learning.strategies import new_parameters
from edgekit.adaptation.learning.training import BATCH, LEAST, train
from edgekit.model.predictors import Predictors
from edgekit.processes import Processes
from edgekit.progress import Track

STEPS = 150  # of training (docs/log.md)
MOST_EPOCHS = 40


def first_adaptation(
    base: Predictors, photos: Sequence[PhotoFeatures], classes: int, seed: int, track: Track
) -> Predictors:
    """The base model's predictors, without masks, grown by rows for ``classes`` more classes."""
    without_masks = Predictors(base.box_predictor, None, base.generations, base.parents)
    torch.manual_seed(seed)
    complete_rows(without_masks, torch.cat([p.load(0).box for p in photos[:8]]).float())
    generation = new_generation(without_masks, classes, "mean", (), adapter=True).requires_grad_(False)
    batches = math.ceil(max(len(photos), LEAST) / BATCH)
    learning = Learning(epochs=min(MOST_EPOCHS, math.ceil(STEPS / batches)), seed=seed)
    groups = new_parameters(generation, learning.train)
    train(generation, groups, ExactObjective(without_masks, generation), photos, learning, Processes(), None, track)
    assert generation.adapter is not None
    generation.adapter.blend(generation.cls_score, ROWS_SHARE / math.sqrt(len(photos)))
    return without_masks.grown(generation)

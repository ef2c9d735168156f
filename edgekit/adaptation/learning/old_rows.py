"""The old classes' rows, and synthetic negatives made of them in place of old data that is no longer there."""

from __future__ import annotations

from collections.abc import Collection

import torch

from edgekit.model.predictors import Predictors

SURE = (1.0, 6.0)  # by how much an old class's logit exceeds all others together (docs/log.md)
FARTHEST = 64.0  # along a class's direction, in its own lengths
HALVINGS = 12


def old_rows(predictors: Predictors, name: str, kind: str, rows: int) -> torch.Tensor:
    """All old classes' rows of one layer, without the background: [classes, rows, ...]."""
    owner = predictors.mask_predictor if name == "mask_fcn_logits" else predictors.box_predictor
    assert owner is not None
    first = owner.get_submodule(name).get_parameter(kind).unflatten(0, (-1, rows))[1:]
    later = [g.get_submodule(name).get_parameter(kind).unflatten(0, (-1, rows)) for g in predictors.generations]
    return torch.cat([first, *later]).detach()


@torch.no_grad()
def complete_rows(predictors: Predictors, features: torch.Tensor) -> None:
    """Give the generations of which an exported graph holds no plain rows, and which are zero then, rows that score
    features [R, F] of the usual length as their adapters do."""
    for generation in predictors.generations:
        adapter = generation.adapter
        if adapter is None or generation.cls_score.weight.any():
            continue
        length = features.square().mean(dim=1).sqrt().mean().clamp(min=1e-6)
        generation.cls_score.weight.copy_(adapter.raw.weight + adapter.cls_score.weight / length)
        generation.cls_score.bias.copy_(adapter.raw.bias + adapter.cls_score.bias)
        if generation.mask_fcn_logits is not None and adapter.mask is not None:
            generation.mask_fcn_logits.load_state_dict(adapter.mask.mask_fcn_logits.state_dict())


def synthetic_negatives(
    predictors: Predictors, features: torch.Tensor, draws: torch.Tensor, refined: Collection[int] = ()
) -> torch.Tensor:
    """Features [S, F] moved until the old rows take each for one of their classes.

    ``draws`` [S, 2] in [0, 1) choose the class, none of the labels ``refined``, and how sure the rows become; where no
    class is left, the features stay as they are. The direction is the class's row less the
    background's: where a classifier has been trained to its end, the mean features of its classes differ along its
    rows (neural collapse, arXiv:2008.08186), so the rows are what is left of the old data. Features stay at or above
    zero, as the box head's last ReLU leaves them.
    """
    scores = (
        predictors.box_predictor.cls_score
    )  # of these rows only the background's is wanted: old_rows has the others
    weights = torch.cat([scores.weight.detach()[:1], old_rows(predictors, "cls_score", "weight", 1)[:, 0]])
    biases = torch.cat([scores.bias.detach()[:1], old_rows(predictors, "cls_score", "bias", 1)[:, 0]])
    kinds = torch.tensor([label for label in range(1, len(weights)) if label not in refined])
    if not len(kinds):
        return features
    columns = kinds[(draws[:, 0] * len(kinds)).long()]
    sure = SURE[0] + (SURE[1] - SURE[0]) * draws[:, 1]
    directions = weights - weights[0]
    start = features @ weights.t() + biases
    slopes = (directions @ weights.t())[columns]
    near, far = torch.zeros(len(features)), torch.full((len(features),), FARTHEST)
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        logits = start + middle[:, None] * slopes
        own = logits.gather(1, columns[:, None])[:, 0]
        others = logits.scatter(1, columns[:, None], -torch.inf).logsumexp(dim=1)
        short = own - others < sure
        near, far = torch.where(short, middle, near), torch.where(short, far, middle)
    return torch.addcmul(features, far[:, None], directions[columns]).clamp_(min=0)

"""Synthetic negatives: features that the old rows take for old objects."""

from __future__ import annotations

import torch

from edgekit.adaptation.learning.initialise import new_generation
from edgekit.adaptation.learning.old_rows import SURE, complete_rows, old_rows, synthetic_negatives
from edgekit.model.checkpoint import load_model
from edgekit.model.predictors import Predictors, normalised


def sources(predictors: Predictors, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features like the box head's [number, F] and draws [number, 2]."""
    generator = torch.Generator().manual_seed(0)
    width = predictors.box_predictor.cls_score.in_features
    return torch.rand((number, width), generator=generator), torch.rand((number, 2), generator=generator)


def test_the_old_rows_take_them_for_the_drawn_classes() -> None:
    predictors = load_model("demo")[0].predictors
    features, draws = sources(predictors, 200)
    negatives = synthetic_negatives(predictors, features, draws)
    logits = predictors.box_predictor.cls_score(negatives)
    assert negatives.min() >= 0
    own = 1 + (draws[:, 0] * (logits.shape[1] - 1)).long()
    assert (logits.argmax(dim=1) == own).float().mean() > 0.95  # the last ReLU may take back some of the way
    assert set(own.tolist()) == set(range(1, logits.shape[1]))
    assert logits.softmax(dim=1).amax(dim=1).median() > torch.tensor(SURE[0]).sigmoid()


def test_classes_of_later_generations_have_them_too() -> None:
    predictors = load_model("demo")[0].predictors
    generation = new_generation(predictors, 2, "random", ("background",))
    with torch.no_grad():
        generation.cls_score.weight.mul_(10)
    later = Predictors(predictors.box_predictor, predictors.mask_predictor, [generation])
    features, draws = sources(later, 50)
    draws[:, 0] = 0.999  # the last class
    negatives = synthetic_negatives(later, features, draws)
    rows = old_rows(later, "cls_score", "weight", 1)[:, 0]
    assert (negatives @ rows.t()).argmax(dim=1).eq(len(rows) - 1).float().mean() > 0.9


def test_rows_that_a_graph_lacks_follow_from_the_adapter() -> None:
    predictors = load_model("demo")[0].predictors
    generation = new_generation(predictors, 2, "random", ("background",), adapter=True)
    adapter = generation.adapter
    assert adapter is not None
    assert adapter.mask is not None
    features, _ = sources(predictors, 200)
    with torch.no_grad():
        adapter.cls_score.weight.normal_(std=0.1)
        adapter.raw.weight.normal_(std=0.1)
        generation.cls_score.weight.zero_()
        generation.cls_score.bias.zero_()
    later = Predictors(predictors.box_predictor, predictors.mask_predictor, [generation])
    complete_rows(later, 3 * features)
    logits, expected = generation.cls_score(3 * features), adapter.scores(3 * features)
    assert torch.nn.functional.cosine_similarity(logits, expected, dim=0).min() > 0.99
    assert (logits - expected).abs().mean() < 0.1 * expected.abs().mean()
    assert generation.mask_fcn_logits is not None
    assert torch.equal(generation.mask_fcn_logits.weight, adapter.mask.mask_fcn_logits.weight)
    kept = generation.cls_score.weight.clone()
    complete_rows(later, normalised(features))  # rows that are there stay
    assert torch.equal(generation.cls_score.weight, kept)

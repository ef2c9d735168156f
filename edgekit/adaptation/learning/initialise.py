"""How a new generation's rows start: random, the mean of the old rows, one old class's, or prototypes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from edgekit.adaptation.features.extraction import PhotoFeatures
from edgekit.adaptation.features.rois import IGNORED, ViewFeatures
from edgekit.adaptation.learning.objectives import NEGATIVE_WEIGHT
from edgekit.adaptation.learning.old_rows import old_rows
from edgekit.errors import EdgekitError
from edgekit.model.predictors import Generation, Predictors, merged, normalised

SHRINKAGE = 0.1  # of a covariance towards a multiple of the identity
MOST_ROIS = 20_000  # that prototypes are computed from, all that show a new class and some of the others


def new_generation(
    predictors: Predictors,
    classes: int,
    init: str,
    categories: Sequence[str],
    adapter: bool = False,
    refined: Mapping[int, int] = {},
) -> Generation:
    """Rows for ``classes`` more classes that start as ``init`` says.

    "mean": the mean of all old classes' rows (as new units of Net2Net, arXiv:1511.05641, start from old ones);
    "random": as Fast R-CNN's (arXiv:1504.08083); the name of an old class: that class's rows; "prototype": as "mean",
    for ``imprint`` to replace. ``categories`` are the old classes by label. Rows of a class that the model has, of
    which ``refined`` holds the label by place among the new ones, start as its own, not as the mean. An adapter starts
    as the rows' equal.
    """
    box, mask = predictors.box_predictor, predictors.mask_predictor
    generation = Generation(classes, box.cls_score.in_features, predictors.mask_channels, adapter)
    names = ["cls_score", "bbox_pred"] + (["mask_fcn_logits"] if mask is not None else [])
    with torch.no_grad():
        for name in names:
            layer, rows = generation.get_submodule(name), 4 if name == "bbox_pred" else 1
            if init == "random":
                nn.init.normal_(layer.get_parameter("weight"), std=0.001 if name == "bbox_pred" else 0.01)
                nn.init.zeros_(layer.get_parameter("bias"))
                continue
            for kind in ("weight", "bias"):
                old = old_rows(predictors, name, kind, rows)
                if init in ("mean", "prototype"):
                    mean = old.mean(0)
                    starts = [old[refined[place] - 1] if place in refined else mean for place in range(classes)]
                else:
                    starts = [old[_label(init, categories) - 1]] * classes
                layer.get_parameter(kind).copy_(torch.cat(starts))
        _start_adapter(predictors, generation)
    return generation


@torch.no_grad()
def imprint(
    predictors: Predictors, generation: Generation, photos: Sequence[PhotoFeatures], classes: Sequence[str]
) -> None:
    """Compute the rows from the new classes' own RoIs, without training; raises for a class (``classes`` are the
    generation's) that no view shows.

    Scores: the direction between a class's mean feature and the rest's, under a shared covariance (Fisher's linear
    discriminant; weight imprinting, arXiv:1712.07136, is the same with an identity), its scale and bias fitted against
    the old classes' logits. Boxes: ridge regression on top of the mean old rows. Masks: the discriminant between
    the pixels inside and outside.
    """
    views = [p.load(v) for p in photos for v in range(len(p.keys))]
    first = predictors.first_label(len(predictors.generations) + 1)
    box, labels, deltas = _rois(views, first)
    columns = (labels - first + 1).clamp(min=0)
    for column, name in enumerate(classes):
        if not (columns == column + 1).any():
            raise EdgekitError(
                f"class {name}: no photo shows an object of it that is large enough at the model's input size",
                "give a larger --size or larger objects",
            )
    others = torch.cat([merged(predictors.logits(part)) for part in box.split(4096)])
    for column in range(generation.classes):
        own = columns == column + 1
        _regress(generation.bbox_pred, column, box[own], deltas[own])
    if generation.mask_fcn_logits is not None:
        for column in range(generation.classes):
            chosen = [v.mask_labels == first + column for v in views]
            features = torch.cat([v.mask[c] for v, c in zip(views, chosen, strict=True)])[:256].float()
            targets = torch.cat([v.mask_targets[c] for v, c in zip(views, chosen, strict=True)])[:256].float()
            pixels = predictors.shared_mask_features(features).permute(0, 2, 3, 1)  # [M, 28, 28, C]
            inside, outside = pixels[targets > 0.5], pixels[targets <= 0.5]
            if not len(inside) or not len(outside):
                continue  # the mean of the old rows stays
            direction = _discriminant(inside, outside)
            middle = (inside.mean(0) + outside.mean(0)) / 2
            generation.mask_fcn_logits.weight[column] = direction[:, None, None]
            assert generation.mask_fcn_logits.bias is not None
            generation.mask_fcn_logits.bias[column] = -(direction @ middle)
    _start_adapter(predictors, generation)
    _discriminate(generation.cls_score, box, others, columns)
    if generation.adapter is not None:
        _discriminate(generation.adapter.cls_score, normalised(box), others, columns)


def _rois(views: Sequence[ViewFeatures], first: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features [R, F], labels [R] and targets [R, 4] of the views' RoIs: of all that show a class from label ``first``
    on, and, of the others, of as many as ``MOST_ROIS`` leaves room for (a quarter of it at least), evenly spread."""
    kept = [v.labels != IGNORED for v in views]
    labels = torch.cat([v.labels[k] for v, k in zip(views, kept, strict=True)])
    own, others = torch.nonzero(labels >= first)[:, 0], torch.nonzero(labels < first)[:, 0]
    room = max(MOST_ROIS - len(own), MOST_ROIS // 4)
    if len(others) > room:
        others = others[torch.arange(room) * len(others) // room]
    chosen = torch.cat([own, others]).sort().values
    box = torch.cat([v.box[k] for v, k in zip(views, kept, strict=True)])[chosen].float()
    deltas = torch.cat([v.deltas[k] for v, k in zip(views, kept, strict=True)])[chosen]
    return box, labels[chosen], deltas


def _start_adapter(predictors: Predictors, generation: Generation) -> None:
    """Make the adapter's masks equal the rows', and its scores for features of a root mean square of 1."""
    if generation.adapter is None:
        return
    generation.adapter.cls_score.load_state_dict(generation.cls_score.state_dict())
    if generation.adapter.mask is None:
        return
    assert predictors.mask_predictor is not None
    assert generation.mask_fcn_logits is not None
    generation.adapter.mask.conv5_mask.load_state_dict(predictors.mask_predictor.conv5_mask.state_dict())
    generation.adapter.mask.mask_fcn_logits.load_state_dict(generation.mask_fcn_logits.state_dict())


def _label(name: str, categories: Sequence[str]) -> int:
    if name not in categories[1:]:
        raise EdgekitError(
            f"--init {name}: no class of the base model",
            "give mean, random, prototype or the name of one of its classes",
        )
    return list(categories).index(name)


def _discriminate(layer: nn.Linear, features: torch.Tensor, others: torch.Tensor, columns: torch.Tensor) -> None:
    """Make each row the direction between its class's features and the rest's; columns [R] count from 1."""
    classes = range(1, layer.out_features + 1)
    directions = torch.stack([_discriminant(features[columns == c], features[columns != c]) for c in classes])
    scores = features @ directions.t()
    spread = scores.std(0).clamp(min=1e-6)
    scale, bias = _calibrate(others, scores / spread, columns)
    layer.weight.copy_(directions * (scale / spread)[:, None])
    layer.bias.copy_(bias)


def _discriminant(own: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
    """Fisher's direction [F] between features [n, F] and [m, F]."""
    difference = own.mean(0) - rest.mean(0)
    deviations = torch.cat([own - own.mean(0), rest - rest.mean(0)])
    covariance = deviations.t() @ deviations / len(deviations)
    size = covariance.diagonal().mean().clamp(min=1e-8)
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * size * torch.eye(len(covariance))
    return torch.linalg.solve(shrunk, difference)


def _calibrate(others: torch.Tensor, scores: torch.Tensor, columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and bias [K] that make scores [R, K] logits beside the old classes' [R, 1]."""
    classes = scores.shape[1]
    parameters = torch.stack([torch.ones(classes), torch.zeros(classes)]).requires_grad_(True)
    weights = torch.ones(1 + classes)
    weights[0] = NEGATIVE_WEIGHT
    optimizer = torch.optim.LBFGS([parameters], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = torch.cat([others, scores * parameters[0] + parameters[1]], dim=1)
        value = F.cross_entropy(logits, columns, weights, reduction="sum") + 0.1 * (parameters**2).sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return parameters.detach()[0], parameters.detach()[1]


def _regress(layer: nn.Linear, column: int, features: torch.Tensor, targets: torch.Tensor) -> None:
    """Fit one class's four rows to targets [n, 4] by ridge regression of what the rows leave over."""
    rows = slice(4 * column, 4 * column + 4)
    rest = targets - features @ layer.weight[rows].t() - layer.bias[rows]
    count, width = features.shape
    if count <= width:
        products = features @ features.t()
        ridge = products.diagonal().mean() * torch.eye(count)
        layer.weight[rows] += torch.linalg.solve(products + ridge, rest).t() @ features
    else:  # the same, by a smaller matrix
        products = features.t() @ features
        ridge = products.diagonal().sum() / count * torch.eye(width)
        layer.weight[rows] += torch.linalg.solve(products + ridge, features.t() @ rest).t()

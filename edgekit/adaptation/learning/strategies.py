"""What trains: which layers of the new generation's predictors, and, in joint scoring, of the old ones."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from edgekit.errors import EdgekitError
from edgekit.model.predictors import Generation, Predictors

BOX_LAYERS = ("cls_score", "bbox_pred")  # the children of torchvision's FastRCNNPredictor, in their order
MASK_LAYERS = ("conv5_mask", "relu", "mask_fcn_logits")  # the children of its MaskRCNNPredictor
ADAPTER_SCORES_LR = 1 / 3  # of the learning rate: slower scores fire less on what was never shown (docs/log.md)


def trained_layers(train: str) -> tuple[str, ...]:
    """The names of the layers that ``--train`` picks: "predictors", "mask" or "last:K" (of each predictor)."""
    if train == "predictors":
        return BOX_LAYERS + MASK_LAYERS
    if train == "mask":
        return MASK_LAYERS
    kind, _, number = train.partition(":")
    if kind == "last" and number.isdigit() and 1 <= int(number) <= len(MASK_LAYERS):
        return BOX_LAYERS[-int(number) :] + MASK_LAYERS[-int(number) :]
    raise EdgekitError(f"--train {train}: not a strategy", "give predictors, mask, or last:K with K from 1 to 3")


def new_parameters(generation: Generation, train: str) -> list[tuple[list[nn.Parameter], float]]:
    """The parameters of a generation that train, in groups with their share of the learning rate."""
    layers = trained_layers(train)
    chosen: list[nn.Module | None] = [generation.get_submodule(n) for n in BOX_LAYERS if n in layers]
    if "mask_fcn_logits" in layers:
        chosen.append(generation.mask_fcn_logits)
    if generation.adapter is None:
        return [(_trainable(chosen), 1.0)]
    if "cls_score" in layers:
        chosen += [generation.adapter.hidden, generation.adapter.bbox_pred]
    chosen.append(generation.adapter.mask)
    scores = [generation.adapter.cls_score] if "cls_score" in layers else []
    return [(_trainable(chosen), 1.0), (_trainable(scores), ADAPTER_SCORES_LR)]


def old_parameters(predictors: Predictors, train: str) -> list[nn.Parameter]:
    """The parameters that the classes before share or own, as far as ``train`` picks their layers."""
    layers = trained_layers(train)
    chosen: list[nn.Module | None] = [predictors.box_predictor.get_submodule(n) for n in BOX_LAYERS if n in layers]
    if predictors.mask_predictor is not None:
        chosen += [predictors.mask_predictor.get_submodule(n) for n in MASK_LAYERS if n in layers]
    return _trainable(chosen)


def _trainable(modules: Sequence[nn.Module | None]) -> list[nn.Parameter]:
    parameters = [p for m in modules if m is not None for p in m.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    return parameters

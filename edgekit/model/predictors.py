"""The layers that have rows for each class: the base model's predictors and those of the generations added to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor

ADAPTER_FEATURES = 256  # the width of an adapter's hidden layer for boxes
Parents = Sequence[tuple[int, ...]]  # of each added generation, the numbers (from 1) of those it was trained on top of


class Adapter(nn.Module):
    """Layers of one generation's own, which edgekit uses in place of its rows.

    Scores come from the box head's output divided by its root mean square (as in RMSNorm, arXiv:1910.07467): the
    features' length then says nothing, so that what was never shown, but has long features, is less often taken
    for a new class. ``raw`` adds what ``blend`` gives it, at first nothing. Boxes are the rows' plus an MLP's, masks a
    copy of the mask predictor's. ``mask_channels`` are the mask predictor's (input, hidden) channels, None for a model
    without masks.
    """

    def __init__(self, classes: int, box_features: int, mask_channels: tuple[int, int] | None) -> None:
        super().__init__()
        self.cls_score = nn.Linear(box_features, classes)
        self.raw = nn.Linear(box_features, classes)
        self.hidden = nn.Linear(box_features, ADAPTER_FEATURES)
        self.bbox_pred = nn.Linear(ADAPTER_FEATURES, 4 * classes)
        for layer in (self.raw, self.bbox_pred):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.mask = MaskRCNNPredictor(*mask_channels, classes) if mask_channels else None

    def scores(self, box_features: torch.Tensor, kept: torch.Tensor | None = None) -> torch.Tensor:
        """Logits [R, K] of the box head's output [R, F]; in training ``kept``, bool [R, F], is the half not dropped."""
        features = normalised(box_features)
        return self.cls_score(features if kept is None else 2 * features * kept) + self.raw(box_features)

    @torch.no_grad()
    def blend(self, rows: nn.Linear, share: float) -> None:
        """Mix ``share`` (0 to 1) of trained rows' logits into the logits."""
        for own, raw, given in zip(self.cls_score.parameters(), self.raw.parameters(), rows.parameters(), strict=True):
            raw.copy_((1 - share) * raw + share * given)
            own.mul_(1 - share)

    def more_deltas(self, box_features: torch.Tensor) -> torch.Tensor:
        """What to add to the rows' deltas: [R, 4 K]."""
        return self.bbox_pred(F.relu(self.hidden(normalised(box_features))))


class Generation(nn.Module):
    """The predictor rows of the classes that one adaptation added, named as in torchvision's predictors.

    The rows alone are a whole predictor (what torchvision's layout can hold); an ``adapter`` makes it a better one.
    """

    def __init__(
        self, classes: int, box_features: int, mask_channels: tuple[int, int] | None, adapter: bool = False
    ) -> None:
        super().__init__()
        self.cls_score = nn.Linear(box_features, classes)
        self.bbox_pred = nn.Linear(box_features, 4 * classes)
        self.mask_fcn_logits = nn.Conv2d(mask_channels[1], classes, 1) if mask_channels else None
        self.adapter = Adapter(classes, box_features, mask_channels) if adapter else None

    @property
    def classes(self) -> int:
        """How many classes it has."""
        return self.cls_score.out_features

    def forward(self, box_features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [R, K] and deltas [R, 4 K] of the box head's output [R, F]."""
        deltas = self.bbox_pred(box_features)
        if self.adapter is None:
            return self.cls_score(box_features), deltas
        return self.adapter.scores(box_features), deltas + self.adapter.more_deltas(box_features)


class Predictors(nn.Module):
    """Every row of a model, in generations: the base model's own predictors, and what was added since.

    With no added generation it computes what torchvision's predictors do. ``mask_predictor`` is None in a Faster R-CNN.
    ``parents`` are the numbers of the earlier generations that each added one was trained on top of, by default all:
    its classes are scored against the base model's and theirs.
    """

    def __init__(
        self,
        box_predictor: FastRCNNPredictor,
        mask_predictor: MaskRCNNPredictor | None,
        added: Sequence[Generation] = (),
        parents: Parents | None = None,
    ) -> None:
        super().__init__()
        self.box_predictor, self.mask_predictor = box_predictor, mask_predictor
        self.added = nn.ModuleList(added)
        self.parents = chain(len(added)) if parents is None else parents

    @property
    def generations(self) -> Sequence[Generation]:
        """The generations added to the base model, the oldest first."""
        return cast(Sequence[Generation], self.added)

    @property
    def mask_channels(self) -> tuple[int, int] | None:
        """The mask predictor's (input, hidden) channels; None without masks."""
        if self.mask_predictor is None:
            return None
        return self.mask_predictor.conv5_mask.in_channels, self.mask_predictor.conv5_mask.out_channels

    def grown(self, generation: Generation) -> Predictors:
        """These with one more generation, trained on top of all."""
        every = tuple(range(1, 1 + len(self.added)))
        added, parents = [*self.generations, generation], [*self.parents, every]
        return Predictors(self.box_predictor, self.mask_predictor, added, parents)

    def first_label(self, number: int) -> int:
        """The label of a generation's first class; 0 (the background) for the base model."""
        if number == 0:
            return 0
        return self.box_predictor.cls_score.out_features + sum(g.classes for g in self.generations[: number - 1])

    def logits(self, box_features: torch.Tensor) -> torch.Tensor:
        """Logits [R, 1 + classes] of the background and the classes of all generations, before any softmax."""
        rows = [g(box_features)[0] for g in self.generations]
        return torch.cat([self.box_predictor.cls_score(box_features), *rows], dim=1)

    def box_predictions(self, box_features: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Each generation's logits [R, 1 + K] and deltas [R, 4 * (1 + K)]; the first class stands for all it does not
        score (the base model's: the background)."""
        logits, deltas = self.box_predictor(box_features)
        yield logits, deltas
        for scored, own_deltas in self.added_predictions(box_features, logits):
            yield scored, torch.cat([torch.zeros_like(deltas[:, :4]), own_deltas], dim=1)

    def added_predictions(
        self, box_features: torch.Tensor, logits: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Each added generation's logits [R, 1 + K] and deltas [R, 4 K], of the base model's logits [R, classes]."""
        rows: list[torch.Tensor] = []
        for generation, parents in zip(self.generations, self.parents, strict=True):
            own, deltas = generation(box_features)
            earlier = torch.cat([logits, *(rows[number - 1] for number in parents)], dim=1)
            yield torch.cat([merged(earlier), own], dim=1), deltas
            rows.append(own)

    def shared_mask_features(self, mask_features: torch.Tensor) -> torch.Tensor:
        """What the rows of ``mask_fcn_logits`` work on: [N, C, 28, 28], of the mask head's output [N, C, 14, 14]."""
        assert self.mask_predictor is not None
        return self.mask_predictor.relu(self.mask_predictor.conv5_mask(mask_features))

    def mask_logits(self, mask_features: torch.Tensor, number: int) -> torch.Tensor:
        """One generation's mask logits [N, classes, 28, 28] of the mask head's output; the base model's count the
        background."""
        assert self.mask_predictor is not None
        if number == 0:
            return self.mask_predictor(mask_features)
        generation = self.generations[number - 1]
        if generation.adapter is not None:
            assert generation.adapter.mask is not None
            return generation.adapter.mask(mask_features)
        assert generation.mask_fcn_logits is not None
        return generation.mask_fcn_logits(self.shared_mask_features(mask_features))


def chain(added: int) -> tuple[tuple[int, ...], ...]:
    """The parents of generations that were trained one on top of the other."""
    return tuple(tuple(range(1, number)) for number in range(1, added + 1))


def normalised(features: torch.Tensor) -> torch.Tensor:
    """Features [R, F] divided by their root mean square."""
    return features * torch.rsqrt(features.square().mean(dim=1, keepdim=True) + 1e-6)


def merged(logits: torch.Tensor) -> torch.Tensor:
    """All earlier classes and the background as one logit [R, 1]: a softmax over it and the new rows gives the new
    classes the probabilities that the softmax over all classes gives them."""
    return torch.logsumexp(logits, dim=1, keepdim=True)

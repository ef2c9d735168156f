"""How new rows start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pytest
import torch

from edgekit.adaptation.features.extraction import PhotoFeatures
from edgekit.adaptation.features.rois import ViewFeatures
from edgekit.adaptation.learning import initialise
from edgekit.adaptation.learning.initialise import imprint, new_generation
from edgekit.errors import EdgekitError
from edgekit.model.checkpoint import load_model
from edgekit.model.predictors import Generation, Predictors

CLASSES = ("chicken", "frog")
FIRST, ROIS, WIDTH = 13, 40, 512


@dataclass(frozen=True)
class Shown:
    """A photo of a few objects of one class."""

    label: int
    keys: tuple[str, ...] = ("only",)

    def load(self, _view: int) -> ViewFeatures:
        generator = torch.Generator().manual_seed(self.label)
        labels = torch.zeros(ROIS, dtype=torch.int64)
        labels[:4] = self.label
        box = torch.rand(ROIS, WIDTH, generator=generator)
        box[:4, self.label * 10 : self.label * 10 + 10] += 3
        own = labels[:4]
        targets = torch.zeros(4, 28, 28)
        targets[:, 7:21, 7:21] = 1
        deltas = torch.zeros(ROIS, 4)
        mask = torch.rand(4, 64, 14, 14, generator=generator)
        empty = torch.zeros(0, 4)
        return ViewFeatures(
            torch.zeros(ROIS, 4), box.half(), labels, deltas, mask.half(), own, targets.half(), empty, own[:0], own[:0]
        )


def imprinted(labels: list[int]) -> tuple[Predictors, Generation]:
    module, meta = load_model("demo")
    generation = new_generation(module.predictors, 2, "prototype", meta.categories)
    imprint(module.predictors, generation, cast(list[PhotoFeatures], [Shown(label) for label in labels]), CLASSES)
    return module.predictors, generation


@pytest.mark.parametrize("most", [20_000, 60])
def test_prototypes_of_photos_sorted_by_class(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initialise, "MOST_ROIS", most)
    _, generation = imprinted([FIRST] * 3 + [FIRST + 1] * 3)
    assert all(torch.isfinite(p).all() for p in generation.parameters())
    for column in range(2):
        features = Shown(FIRST + column).load(0).box[:4].float()
        assert generation.cls_score(features).argmax(dim=1).tolist() == [column] * 4


def test_a_class_that_no_view_shows_has_no_prototype() -> None:
    with pytest.raises(EdgekitError, match="class frog: no photo shows"):
        imprinted([FIRST] * 3)

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import torch

from edgekit.adaptation.adapt import _advice
from edgekit.adaptation.features.extraction import PhotoFeatures
from edgekit.adaptation.learning.held_out import proposed_objects
from edgekit.adaptation.learning.training import Training


def test_proposed_objects_are_counted_by_class() -> None:
    view = SimpleNamespace(proposed=torch.tensor([0.9, 0.4, 0.5]), object_labels=torch.tensor([13, 13, 3]))
    photo = cast(PhotoFeatures, SimpleNamespace(load=lambda _view: view))
    assert proposed_objects([photo, photo], {"chicken": 13, "frog": 14}) == {"chicken": 2, "frog": 0}


def test_a_class_that_the_rpn_misses_is_advised_on() -> None:
    (said,) = _advice({"chicken": 9, "frog": 0}, {"chicken": 10, "frog": 4}, Training((), 0))
    assert "only 0% of the frog objects" in said
    assert "larger --size" in said

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from edgekit.adaptation.features.frozen_trunk import TorchTrunk
from edgekit.model.checkpoint import load_model
from edgekit.model.generations import GenerationalRCNN


def test_only_a_copy_of_the_base_goes_to_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[Any] = []
    monkeypatch.setattr(torch, "cuda", SimpleNamespace(is_available=lambda: True))
    monkeypatch.setattr(GenerationalRCNN, "to", lambda self, _device: cast(Any, moved.append(self)) or self)
    module, _ = load_model("demo")
    trunk = TorchTrunk(module, (320, 320), "none")
    assert trunk.runtime == "pytorch cuda"
    assert moved == [trunk.module]
    assert trunk.module is not module
    assert trunk.module.predictors.box_predictor is not module.predictors.box_predictor

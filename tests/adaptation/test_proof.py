"""The proof's short way finds what two whole forward passes find, and notices what changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.adaptation.proof import compare_old_detections
from edgekit.comparison.retention import retention
from edgekit.data.annotations.dataset import Dataset
from edgekit.progress import silent
from edgekit.runtime.opening import open_session
from edgekit.runtime.session import detect
from edgekit.runtime.torch_session import TorchSession

OLD = 13


def sessions(adapted: Path) -> tuple[TorchSession, TorchSession]:
    before, after = open_session("demo"), open_session(adapted)
    assert isinstance(before, TorchSession)
    assert isinstance(after, TorchSession)
    return before, after


def test_it_is_what_two_forward_passes_find(adapted: Path, mixed_test: Dataset) -> None:
    before, after = sessions(adapted)
    photos = mixed_test.photos[:4]
    found, kept = compare_old_detections(before, after, photos, 2, silent)
    passes = [(detect(before, p.read()), detect(after, p.read())) for p in photos]
    assert found == retention(passes, OLD)
    assert found.compared > 5
    assert len(kept) == 2
    for pair, both in zip(kept, passes, strict=False):
        for of_one, whole in zip(pair, both, strict=True):
            np.testing.assert_array_equal(of_one.labels, whole.labels)  # the new classes of kept photos included
            np.testing.assert_array_equal(of_one.scores, whole.scores)
            np.testing.assert_array_equal(of_one.masks, whole.masks)


@pytest.mark.parametrize(
    "layer", ["box_predictor.cls_score", "box_predictor.bbox_pred", "mask_predictor.mask_fcn_logits"]
)
def test_a_changed_old_row_is_noticed(layer: str, adapted: Path, mixed_test: Dataset) -> None:
    before, after = sessions(adapted)
    weight = after.module.get_parameter(f"base.roi_heads.{layer}.weight")
    with torch.no_grad():
        weight.mul_(1.001)
    found, _ = compare_old_detections(before, after, mixed_test.photos[:3], 0, silent)
    assert found.changed > 0

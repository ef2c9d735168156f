"""The proof's short way finds what two whole forward passes find, and notices what changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.adaptation.bases import open_base
from edgekit.adaptation.before_and_after import Hidden, count_hidden
from edgekit.adaptation.inputs import Inputs
from edgekit.adaptation.proof import compare_old_detections, prove
from edgekit.artifacts.metadata import ModelMeta
from edgekit.comparison.retention import retention
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.detections import Detections
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


def in_photo(*rows: tuple[float, int, float]) -> Detections:
    """Boxes of 100 pixels from (left, label, score)."""
    boxes = np.array([[left, 0, left + 100, 100] for left, _, _ in rows], np.float32).reshape(-1, 4)
    labels, scores = np.array([r[1] for r in rows], np.int64), np.array([r[2] for r in rows], np.float32)
    return Detections(boxes, labels, scores, np.zeros((len(rows), 28, 28), np.float32), (100, 600))


def test_old_detections_that_one_label_per_object_hides_are_counted() -> None:
    meta = ModelMeta("x", (("__background__", "dog"), ("hen",), ("frog",)), (320, 320))
    found = [
        in_photo((0, 1, 0.9), (5, 3, 0.8), (300, 1, 0.6)),  # one dog of two is hidden
        in_photo((0, 1, 0.5), (5, 3, 0.8)),  # not above 0.5: nobody saw it
        in_photo((0, 2, 0.6), (5, 3, 0.8), (300, 1, 0.9), (305, 3, 0.7)),  # the hen, an earlier class, is hidden
        in_photo(),
    ]
    assert count_hidden(found, (1, 2), meta) == Hidden(photos_not_learned_from=4, detections=4, hidden=2)
    assert count_hidden(found[:2], (1, 2), meta) == Hidden(2, 2, 1)
    assert count_hidden([], (1, 2), meta) == Hidden(0, 0, 0)


def test_they_are_counted_apart_by_what_is_annotated(adapted: Path, mixed_test: Dataset, new_train: Dataset) -> None:
    """On photos to learn from nothing is counted; what is found before the choice is what retention compares."""
    base, written = open_base("demo"), open_base(adapted)
    none = Dataset(mixed_test.file, mixed_test.categories, ())
    classes, learn = ("chicken", "frog"), new_train.photos
    inputs = Inputs(classes, {}, learn, mixed_test, (), [], none)
    proof = prove(base, written, inputs, silent)
    shown = [any(a.category in classes for a in p.annotations) for p in mixed_test.photos]
    photos = (proof.hidden_with_new.photos_not_learned_from, proof.hidden_without_new.photos_not_learned_from)
    assert photos == (sum(shown), len(shown) - sum(shown))
    session = open_session("demo")
    for part, which in ((proof.hidden_with_new, True), (proof.hidden_without_new, False)):
        own = [detect(session, p.read()) for p, new in zip(mixed_test.photos, shown, strict=True) if new == which]
        assert part.detections == sum(int((d.scores > 0.5).sum()) for d in own)
        assert 0 <= part.hidden <= part.detections
    assert proof.retention.images == len(shown) + len(learn)
    assert proof.retention.changed == 0

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.comparison.compare import compare
from edgekit.data.images import SAMPLE_PHOTOS, list_images
from edgekit.inference.predict import predict
from edgekit.measurement.bench.forms import forms, open_form
from edgekit.runtime.selection import Selection
from tests.packs import random_pack, write_packs

A, B = random_pack("a"), random_pack("b", 1)


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    return tuple(write_packs(tmp_path_factory.mktemp("packs"), A, B))


@pytest.mark.parametrize("overlaps", ["one", "keep"])
def test_predict_finds_what_packs_know(packs: tuple[Path, ...], base_onnx: Path, overlaps: str) -> None:
    photo = list_images(SAMPLE_PHOTOS)[0]
    for model in ("demo", base_onnx):
        assert found_classes(model, photo, Selection(overlaps, packs)) & {*A.classes, *B.classes}
        assert not found_classes(model, photo, Selection()) & {*A.classes, *B.classes}


def found_classes(model: str | Path, photo: Path, selection: Selection) -> set[str]:
    predictions = predict(model, photo, min_score=0.3, selection=selection)
    assert isinstance(predictions, list)
    return {d["category"] for d in predictions[0].detections}


def test_forms_with_packs_are_compared_and_timed(packs: tuple[Path, ...], base_onnx: Path) -> None:
    result = compare("demo", base_onnx, packs=packs, min_matched=0.99)
    assert result.passed
    assert result.verification.parity.compared > compare("demo", base_onnx).verification.parity.compared
    for form in forms(["demo", base_onnx], packs=packs):
        assert {*A.classes, *B.classes} <= set(open_form(form).meta.categories)

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.comparison.comparison_photos import comparison_photos, photos_in
from edgekit.comparison.tolerance import TOLERANCES, tolerance_for
from edgekit.comparison.verification import verified, verify
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.images import SAMPLE_PHOTOS, list_images
from edgekit.errors import EdgekitError
from edgekit.runtime.opening import open_session
from edgekit.runtime.session import Outputs, Session


class Shifted(Session):
    """A session whose scores are lower by ``by``, in some precision."""

    def __init__(self, session: Session, by: float, precision: str) -> None:
        self.session, self.by = session, np.float32(by)
        self.runtime, self.meta = session.runtime, replace(session.meta, precision=precision)

    def infer(self, pixels: np.ndarray) -> Outputs:
        found = self.session.infer(pixels)
        return found._replace(scores=np.maximum(found.scores - self.by, 0))


def test_the_built_in_photos_are_the_default(adapted_onnx: Path) -> None:
    session = open_session(adapted_onnx)
    result = verify(session, session, comparison_photos())
    assert result.passed
    assert result.parity.images == len(list_images(SAMPLE_PHOTOS))
    assert result.parity.compared > 10
    assert (result.reference, result.other) == (None, None)


@pytest.mark.parametrize(
    ("by", "precision", "passes"),
    [(0.005, "fp32", False), (0.005, "fp16", True), (0.05, "fp16", False), (0.05, "int8", True), (0.3, "int8", False)],
)
def test_the_tolerance_is_the_precisions(by: float, precision: str, passes: bool, adapted_onnx: Path) -> None:
    session = open_session(adapted_onnx)
    result = verify(session, Shifted(session, by, precision), comparison_photos())
    assert result.tolerance == TOLERANCES[precision]
    assert result.passed is passes
    assert result.parity.largest_score_difference == pytest.approx(by, abs=1e-3)


def test_annotations_add_the_ap_of_both(adapted_onnx: Path, mixed_test: Dataset) -> None:
    session = open_session(adapted_onnx)
    result = verify(session, Shifted(session, 0.4, "fp32"), comparison_photos(mixed_test.file.parent, mixed_test.file))
    assert not result.passed
    assert result.reference is not None
    assert result.other is not None
    assert result.reference.box.AP >= result.other.box.AP > 0.3
    assert f"box AP {100 * result.reference.box.AP:.1f} and" in result.numbers
    assert result.other.mask is not None
    assert result.numbers.endswith(f"and {100 * result.other.mask.AP:.1f}")


def test_a_pass_on_few_detections_says_so(adapted_onnx: Path, tmp_path: Path) -> None:
    session = open_session(adapted_onnx)
    assert verify(session, session, comparison_photos()).doubts == ()
    Image.new("RGB", (320, 320)).save(tmp_path / "black.png")
    blind = verify(session, session, comparison_photos(tmp_path))
    assert blind.passed
    assert blind.doubts == (
        "no detections on 1 photo were compared, which says little: give photos of what the model knows",
    )


def test_a_verdict_on_int8_takes_more_detections(adapted_onnx: Path, tmp_path: Path) -> None:
    session = open_session(adapted_onnx)
    photos = photos_in(None)
    assert verify(session, Shifted(session, 0.05, "int8"), comparison_photos()).doubts[0].startswith("only 2")
    with pytest.raises(EdgekitError, match="detections differ") as raised:
        verified(tmp_path / "x.onnx", Shifted(session, 0.3, "int8"), session, photos)
    assert "which says little: give photos of what the model knows: --verify DIR" in str(raised.value.hint)


def test_an_unknown_precision_counts_as_the_coarsest() -> None:
    assert tolerance_for("fp32", "fp16") == TOLERANCES["fp16"]
    assert tolerance_for("fp32", "int4") == TOLERANCES["int8"]


def test_bad_photos_are_named(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="holds no images"):
        comparison_photos(tmp_path)
    with pytest.raises(EdgekitError, match="no such folder"):
        comparison_photos(tmp_path / "gone")

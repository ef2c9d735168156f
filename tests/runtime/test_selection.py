from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.artifacts.metadata import ModelMeta
from edgekit.data.images import SAMPLE_PHOTOS, fit, list_images, read_image
from edgekit.errors import EdgekitError
from edgekit.runtime.opening import open_session
from edgekit.runtime.selection import Selected, Selection, best_only
from edgekit.runtime.session import Outputs, Session
from tests.devices import install, write_stand_in

META = ModelMeta("x", (("__background__", "dog", "cat"), ("frog",)), (320, 320))


def outputs(*rows: tuple[float, int, float]) -> Outputs:
    """Boxes of 100 pixels from (left, label, score)."""
    boxes = np.array([[left, 0, left + 100, 100] for left, _, _ in rows], np.float32)
    labels, scores = np.array([r[1] for r in rows]), np.array([r[2] for r in rows], np.float32)
    return Outputs(boxes, labels, scores, np.zeros((len(rows), 28, 28), np.float32))


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([(0, 1, 0.9), (5, 3, 0.8)], [0]),
        ([(0, 1, 0.7), (5, 3, 0.8)], [1]),
        ([(0, 1, 0.8), (5, 3, 0.8)], [0]),  # equal scores: the earlier generation's
        ([(0, 1, 0.9), (5, 2, 0.8)], [0, 1]),  # one generation's classes do not cover each other
        ([(0, 1, 0.9), (50, 3, 0.8)], [0, 1]),  # too little overlap
        ([], []),
    ],
)
def test_best_only(rows: list[tuple[float, int, float]], kept: list[int]) -> None:
    found = outputs(*rows)
    if not rows:
        found = Outputs(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0), np.zeros((0, 28, 28)))
    result = best_only(found, META)
    assert result.labels.tolist() == [rows[i][1] for i in kept]
    assert len(result.boxes) == len(result.masks) == len(kept)


def test_the_graph_drops_the_same(tmp_path: Path) -> None:
    import torch

    from edgekit.static.detector import uncovered

    rng = np.random.default_rng(0)
    for _ in range(20):
        rows = [(float(rng.integers(0, 60)), 1 if i < 6 else 3, float(rng.integers(0, 5)) / 4) for i in range(12)]
        found = outputs(*rows)
        kept = uncovered(torch.tensor(found.boxes), torch.tensor(found.scores), [6, 6]).bool().numpy()
        real = found.scores > 0
        expected = best_only(Outputs(*(v[real] for v in found)), META)
        assert np.array_equal(found.boxes[kept & real], expected.boxes)


def test_it_passes_on_all_of_a_session(adapted: Path) -> None:
    session = open_session(adapted)
    selected = Selected(session, session.meta, best_only=True)
    members = {*Session.__annotations__, *(name for name in vars(Session) if not name.startswith("_"))}
    assert [name for name in members if not hasattr(selected, name)] == []
    photos = [read_image(p) for p in list_images(SAMPLE_PHOTOS)[:2]]
    images = np.stack([fit(photo, session.meta.input_size).pixels for photo in photos])
    every = session.infer_batch(images)
    assert sum(len(found.scores) for found in every) > 0
    for found, ours in zip(every, selected.infer_batch(images), strict=True):
        for value, expected in zip(ours, best_only(found, session.meta), strict=True):
            assert np.array_equal(value, expected)


def test_closing_it_closes_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = install(monkeypatch.setattr)
    selected = open_session(write_stand_in(tmp_path / "tiny.engine"), Selection(best_only=True))
    assert selected.batch == 1
    assert len(cuda.held) == 2
    selected.close()
    assert cuda.held == {}


def test_a_session_until_a_generation() -> None:
    session = open_session("demo", Selection(generations=0, best_only=True))
    assert session.meta.new_classes == ()
    assert session.infer(np.zeros((320, 320, 3), np.uint8)).scores.shape == (0,)
    with pytest.raises(EdgekitError, match="has 0 added generations, not 2"):
        open_session("demo", Selection(generations=2))

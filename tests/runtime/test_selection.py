"""One object, one label: the rule, its twin in the graph, and which sessions follow it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgekit.artifacts.metadata import ModelMeta
from edgekit.data.images import SAMPLE_PHOTOS, fit, list_images, read_image
from edgekit.errors import EdgekitError
from edgekit.inference.predict import predict
from edgekit.runtime.opening import open_session
from edgekit.runtime.selection import Selected, Selection, one_label
from edgekit.runtime.session import Outputs, Session
from tests.devices import install, write_stand_in
from tests.tiny_detector import META as TINY
from tests.tiny_detector import write_tiny_detector

META = ModelMeta("x", (("__background__", "dog", "cat"), ("frog",), ("hen", "owl")), (320, 320))
DOG, CAT, FROG, HEN, OWL = 1, 2, 3, 4, 5


def outputs(*rows: tuple[float, int, float]) -> Outputs:
    """Boxes of 100 pixels from (left, label, score)."""
    boxes = np.array([[left, 0, left + 100, 100] for left, _, _ in rows], np.float32).reshape(-1, 4)
    labels, scores = np.array([r[1] for r in rows], np.int64), np.array([r[2] for r in rows], np.float32)
    return Outputs(boxes, labels, scores, np.zeros((len(rows), 28, 28), np.float32))


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([(0, DOG, 0.9), (5, FROG, 0.8)], [1]),  # its score says more than the base model's higher one
        ([(0, DOG, 0.6), (5, FROG, 0.75)], [0, 1]),  # not above the threshold
        ([(0, DOG, 0.6), (5, FROG, 0.76)], [1]),
        ([(0, DOG, 0.98), (5, FROG, 0.88)], [1]),  # odds of 49 and 7.3
        ([(0, DOG, 0.99), (5, FROG, 0.88)], [0, 1]),  # 99: the base model is far surer
        ([(0, DOG, 0.9), (33, FROG, 0.8)], [1]),  # IoU 67 / 133
        ([(0, DOG, 0.9), (34, FROG, 0.8)], [0, 1]),  # 66 / 134
        ([(0, DOG, 0.9), (5, CAT, 0.8)], [0, 1]),  # one generation's classes do not hide each other
        ([(0, HEN, 0.9), (5, OWL, 0.8)], [0, 1]),
        ([(0, FROG, 0.4), (5, HEN, 0.5)], [1]),  # between later generations the higher score stays
        ([(0, FROG, 0.5), (5, HEN, 0.4)], [0]),
        ([(0, FROG, 0.5), (5, HEN, 0.5)], [0]),  # equal scores: the earlier generation's
        ([(5, HEN, 0.5), (0, FROG, 0.5)], [1]),  # in whatever order they come
        ([(0, DOG, 0.9), (5, FROG, 0.8), (5, HEN, 0.9)], [2]),
        ([(0, DOG, 0.9), (30, FROG, 0.8), (60, HEN, 0.9)], [2]),  # what is hidden itself hides the base model's too
        ([], []),
    ],
)
def test_which_stay(rows: list[tuple[float, int, float]], kept: list[int]) -> None:
    assert np.flatnonzero(one_label(outputs(*rows), META)).tolist() == kept


REFINED = ModelMeta("x", (("__background__", "dog", "cat"), ("frog", "dog"), ("dog",)), (320, 320))
FROG_TOO, DOG_AGAIN, DOG_ONCE_MORE = 3, 4, 5


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([(0, DOG, 0.4), (5, DOG_AGAIN, 0.5)], [1]),  # of one class the higher score stays, however low
        ([(0, DOG, 0.9), (5, DOG_AGAIN, 0.8)], [0]),
        ([(0, DOG, 0.9), (5, DOG_AGAIN, 0.9)], [0]),  # at equal scores the base model's
        ([(5, DOG_AGAIN, 0.9), (0, DOG, 0.9)], [1]),
        ([(0, DOG, 0.9), (34, DOG_AGAIN, 0.8)], [0, 1]),  # two dogs
        ([(0, CAT, 0.9), (5, DOG_AGAIN, 0.8)], [1]),  # another class: as of any later generation
        ([(0, CAT, 0.6), (5, DOG_AGAIN, 0.7)], [0, 1]),
        ([(0, DOG, 0.9), (5, FROG_TOO, 0.8)], [1]),
        ([(0, FROG_TOO, 0.9), (5, DOG_AGAIN, 0.8)], [0, 1]),  # of one generation
        ([(0, DOG, 0.6), (5, DOG_AGAIN, 0.8), (5, DOG_ONCE_MORE, 0.7)], [1]),  # the surest of all
        ([(0, DOG, 0.6), (5, DOG_AGAIN, 0.5), (5, DOG_ONCE_MORE, 0.7)], [2]),
        ([(0, DOG, 0.8), (5, DOG_AGAIN, 0.5), (5, DOG_ONCE_MORE, 0.7)], [0]),
    ],
)
def test_of_a_refined_class_the_surest_stays(rows: list[tuple[float, int, float]], kept: list[int]) -> None:
    assert np.flatnonzero(one_label(outputs(*rows), REFINED)).tolist() == kept


def test_boxes_that_overlap_by_a_half_are_one_object() -> None:
    found = outputs((0, DOG, 0.9), (0, FROG, 0.8))
    found.boxes[1, 3] = 50
    assert one_label(found, META).tolist() == [False, True]


def test_what_a_generation_hides_of_the_base_model_does_not_depend_on_the_others() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        labels = rng.choice([DOG, CAT, FROG, HEN, OWL], 15)
        found = outputs(*((float(rng.integers(0, 90)), int(label), float(rng.random())) for label in labels))
        hidden = []
        for others in ([FROG], [HEN, OWL], [FROG, HEN, OWL]):
            there = (labels < FROG) | np.isin(labels, others)
            rows = Outputs(*(values[there] for values in found))
            hidden.append(set(np.flatnonzero(there)[~one_label(rows, META)]) & set(np.flatnonzero(labels < FROG)))
        assert hidden[2] == hidden[0] | hidden[1]


@pytest.mark.parametrize("meta", [META, REFINED])
def test_the_graph_hides_the_same(meta: ModelMeta) -> None:
    import torch

    from edgekit.static.detector import uncovered

    rng = np.random.default_rng(0)
    hidden = 0
    for _ in range(200):
        corners = rng.uniform(0, 60, (18, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(20, 80, (18, 2))], axis=1).astype(np.float32)
        scores = rng.integers(0, 11, 18).astype(np.float32) / 10  # with equal ones, and empty slots
        first = np.cumsum([0, *meta.group_sizes[:2]])  # each generation's first label
        labels = np.concatenate(
            [start + rng.integers(0, size, 6) for start, size in zip(first, meta.group_sizes, strict=True)]
        )
        classes = torch.tensor(meta.class_labels)[labels] if meta.refined_classes else None
        keep = uncovered(torch.tensor(boxes), torch.tensor(scores), [6, 6, 6], classes).numpy()
        real = scores > 0
        assert np.array_equal(keep[real] == 1, one_label(Outputs(boxes, labels, scores, boxes), meta)[real])
        hidden += int((keep == 0).sum())
    assert 100 < hidden < 18 * 200 - 100


@pytest.mark.parametrize(
    "meta",
    [
        dataclasses.replace(META, generations=META.generations[:1]),
        dataclasses.replace(META, scoring="joint"),  # one softmax over all: no later generation
    ],
)
def test_nothing_changes_where_there_is_no_later_generation(meta: ModelMeta, tmp_path: Path) -> None:
    labels = [label for label in (DOG, CAT, FROG, HEN) if label < len(meta.categories)]
    assert one_label(outputs(*((0, label, 0.9) for label in labels)), meta).all()
    path = write_tiny_detector(tmp_path / "x.onnx", meta=dataclasses.replace(TINY, **_scored_as(meta)))
    assert not isinstance(open_session(path, Selection("one")), Selected)


def _scored_as(meta: ModelMeta) -> dict[str, object]:
    joint = meta.scoring == "joint"
    return {"scoring": meta.scoring, "generations": TINY.generations if joint else TINY.generations[:1]}


def test_it_passes_on_all_of_a_session(adapted: Path) -> None:
    session, chosen = open_session(adapted), open_session(adapted, Selection("one"))
    assert isinstance(chosen, Selected)
    members = {*Session.__annotations__, *(name for name in vars(Session) if not name.startswith("_"))}
    assert [name for name in members if not hasattr(chosen, name)] == []
    photos = [read_image(p) for p in list_images(SAMPLE_PHOTOS)[:2]]
    images = np.stack([fit(photo, session.meta.input_size).pixels for photo in photos])
    every = session.infer_batch(images)
    assert sum(len(found.scores) for found in every) > 0
    for found, ours in zip(every, chosen.infer_batch(images), strict=True):
        keep = one_label(found, session.meta)
        for value, expected in zip(ours, found, strict=True):
            assert np.array_equal(value, expected[keep])


def test_closing_it_closes_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = install(monkeypatch.setattr)
    chosen = open_session(write_stand_in(tmp_path / "tiny.engine"), Selection("one"))
    assert chosen.batch == 1
    assert len(cuda.held) == 2
    chosen.close()
    assert cuda.held == {}


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(EdgekitError, match="--overlaps some: unknown") as raised:
        Selection("some")
    assert raised.value.hint == "give one of: one, keep"


def test_what_a_graph_has_hidden_cannot_be_kept(tmp_path: Path) -> None:
    path = write_tiny_detector(tmp_path / "one.onnx", meta=dataclasses.replace(TINY, overlaps="one"))
    for selection in (Selection(), Selection("one")):
        assert not isinstance(open_session(path, selection), Selected)
    with pytest.raises(EdgekitError, match=r"one\.onnx: gives one label per object") as raised:
        open_session(path, Selection("keep"))
    assert "without --overlaps one" in str(raised.value.hint)


class Found(Session):
    """A frog on a dog, and a dog alone."""

    runtime = "stand-in"

    def __init__(self, meta: ModelMeta) -> None:
        self.meta = meta

    def infer(self, pixels: np.ndarray) -> Outputs:
        return outputs((0, DOG, 0.9), (200, DOG, 0.9), (5, FROG, 0.8))


@pytest.mark.parametrize(
    ("selection", "labels"),
    [
        (Selection(), [DOG, FROG]),
        (Selection("one"), [DOG, FROG]),
        (Selection("keep"), [DOG, DOG, FROG]),
    ],
)
def test_predict_gives_one_label_unless_told(
    selection: Selection, labels: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(model: Path, chosen: Selection, _: object) -> Session:
        return chosen.apply(Found(META), Path(model))

    monkeypatch.setattr("edgekit.inference.predict.open_session", opened)
    found = predict("demo", SAMPLE_PHOTOS / "0.jpg", selection=selection)
    assert isinstance(found, list)
    assert [d["category_id"] for d in found[0].detections] == labels

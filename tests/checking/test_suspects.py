"""What counts as a probable mistake, from what a model says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from edgekit.checking.judging import Judgement
from edgekit.checking.suspects import MISSING, UNLIKELY, WRONG, JudgedPhoto, find_suspects
from edgekit.data.annotations.dataset import Photo

NAMES = {1: "apple", 2: "frog", 3: "newt"}  # apple is the base model's, the others are learned
FIRST_NEW, SIZE = 2, (100, 200)
LARGE = (10.0, 10.0, 60.0, 60.0)
PHOTO = Photo(1, Path("a.jpg"), 200, 400, ())  # twice the canvas
Object = tuple[int, tuple[float, ...], tuple[float, ...]]  # label, box, probabilities of apple, frog, newt


def judged(
    objects: list[Object], found: Sequence[tuple[int, tuple[float, ...], float]] = (), known: int = 3
) -> JudgedPhoto:
    judgement = Judgement(
        boxes=torch.tensor([box for _, box, _ in objects]).reshape(-1, 4),
        labels=torch.tensor([label for label, _, _ in objects], dtype=torch.int64),
        probabilities=torch.tensor([(0.0, *row) for _, _, row in objects]).reshape(-1, 4),
        proposed=torch.ones(len(objects)),
        found=torch.tensor([box for _, box, _ in found]).reshape(-1, 4),
        found_labels=torch.tensor([label for label, _, _ in found], dtype=torch.int64),
        scores=torch.tensor([score for _, _, score in found]),
    )
    return JudgedPhoto(PHOTO, judgement, frozenset(range(1, known + 1)))


WELL_KNOWN = judged([(1, LARGE, (0.9, 0, 0)), (2, LARGE, (0, 0.9, 0)), (3, LARGE, (0, 0, 0.9))] * 3)


def suspects(*photos: JudgedPhoto) -> list[tuple[str, str, str]]:
    found, unjudged = find_suspects([WELL_KNOWN, *photos], NAMES, FIRST_NEW, SIZE)
    assert unjudged == ()
    return [(s.kind, s.annotated, s.found) for s in found]


def test_well_known_objects_are_no_suspects() -> None:
    assert suspects() == []


@pytest.mark.parametrize(
    ("box", "score", "expected"),
    [
        ((100.0, 10, 150, 60), 0.9, [(MISSING, "", "newt")]),  # elsewhere
        ((100.0, 10, 150, 60), 0.7, []),  # not sure
        ((12.0, 12, 58, 58), 0.9, []),  # the annotated object
        ((12.0, 12, 22, 22), 0.9, [(MISSING, "", "newt")]),  # in an object of another class
    ],
)
def test_a_sure_detection_on_nothing_is_a_missing_label(
    box: tuple[float, ...], score: float, expected: list[tuple[str, str, str]]
) -> None:
    assert suspects(judged([(2, LARGE, (0, 0.9, 0))], [(3, box, score)])) == expected


def test_an_object_that_two_classes_are_found_at_is_one_suspect() -> None:
    found = [(2, (100.0, 10, 150, 60), 0.8), (3, (102.0, 12, 150, 60), 0.95)]
    assert suspects(judged([], found)) == [(MISSING, "", "newt")]


def test_a_part_of_an_object_of_its_class_is_not_missing() -> None:
    assert suspects(judged([(2, LARGE, (0, 0.9, 0))], [(2, (12.0, 12, 22, 22), 0.9)])) == []


@pytest.mark.parametrize(
    ("label", "row", "expected"),
    [
        (2, (0, 0.1, 0.9), [(WRONG, "frog", "newt")]),
        (2, (0, 0.1, 0.45), [(WRONG, "frog", "newt")]),
        (2, (0, 0.4, 0.6), []),
        (2, (0, 0.1, 0.35), []),
        (2, (0, 0.06, 0.29), []),
        (1, (0.1, 0.9, 0), [(WRONG, "apple", "frog")]),
        (2, (0.9, 0.2, 0), []),  # the base model calls the new class by an old name
        (2, (0.9, 0.01, 0), [(WRONG, "frog", "apple")]),  # and what was learned agrees
        (2, (0.2, 0.01, 0.1), [(UNLIKELY, "frog", "")]),
    ],
)
def test_objects_that_are_contradicted(
    label: int, row: tuple[float, ...], expected: list[tuple[str, str, str]]
) -> None:
    assert suspects(judged([(label, LARGE, row)])) == expected


def test_a_small_object_is_not_unlike_its_class() -> None:
    assert suspects(judged([(2, (10.0, 10, 30, 30), (0, 0.01, 0))])) == []


def test_a_class_that_was_not_learned_is_not_judged() -> None:
    assert suspects(judged([(3, LARGE, (0, 0.9, 0.0))], known=2)) == []


def test_what_is_known_little_is_believed_when_it_scores_as_usual() -> None:
    elsewhere = (100.0, 10, 150, 60)
    for score, expected in ((0.45, [MISSING]), (0.35, [])):
        little_known = judged([(2, LARGE, (0, 0.4, 0))] * 5 + [(2, LARGE, (0, 0.01, 0))], [(2, elsewhere, score)])
        found, unjudged = find_suspects([little_known], NAMES, FIRST_NEW, SIZE)
        assert [s.kind for s in found] == expected
        assert "frog" in unjudged


def test_boxes_are_in_pixels_of_the_photo() -> None:
    ((first,), _) = find_suspects([WELL_KNOWN, judged([], [(2, (100.0, 10, 150, 60), 0.9)])], NAMES, FIRST_NEW, SIZE)
    assert first.box == (200, 20, 100, 100)
    assert first.score == pytest.approx(0.9)

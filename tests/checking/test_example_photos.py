from __future__ import annotations

from pathlib import Path

from edgekit.checking.example_photos import FAULTY, SHOWN, example_photos
from edgekit.data.annotations.dataset import Annotation, Photo


def photo(number: int, *classes: str) -> Photo:
    items = tuple(Annotation(name, (0, 0, 9, 9), 81, None) for name in classes)
    return Photo(number, Path(f"{number}.jpg"), 10, 10, items)


def test_all_classes_and_some_faults_are_shown() -> None:
    photos = [photo(i, "frog") for i in range(100)] + [photo(100, "newt"), photo(101, "toad", "frog"), photo(102)]
    shown = example_photos(photos, {str(i) for i in range(50, 70)}, seed=0)
    assert len(shown) == len({p.id for p in shown}) == SHOWN
    assert {a.category for p in shown for a in p.annotations} == {"frog", "newt", "toad"}
    assert sum(50 <= p.id < 70 for p in shown) >= FAULTY
    assert example_photos(photos, set(), seed=0) == example_photos(photos, set(), seed=0)
    assert example_photos(photos, set(), seed=0) != example_photos(photos, set(), seed=1)


def test_few_photos_are_all_shown_once() -> None:
    photos = [photo(i, "frog", "newt") for i in range(5)]
    assert sorted(p.id for p in example_photos(photos, {"3"}, seed=0)) == [0, 1, 2, 3, 4]
    assert example_photos([], set(), seed=0) == ()

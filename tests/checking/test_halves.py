from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from edgekit.checking.halves import halves
from edgekit.data.annotations.dataset import Annotation, Photo


def photo(number: int, *classes: str) -> Photo:
    items = tuple(Annotation(name, (0, 0, 9, 9), 81, None) for name in classes)
    return Photo(number, Path(f"{number}.jpg"), 10, 10, items)


@pytest.mark.parametrize("seed", range(5))
def test_both_halves_show_every_class_and_are_alike_in_size(seed: int) -> None:
    photos = [photo(i, "frog") for i in range(20)] + [photo(i, "frog", "newt") for i in range(20, 22)]
    photos += [photo(i) for i in range(22, 30)]
    half = halves(photos, range(30), ("frog", "newt"), seed)
    assert sorted(half[20:22]) == [0, 1]
    assert Counter(half) == {0: 15, 1: 15}
    assert halves(photos, range(30), ("frog", "newt"), seed) == half


def test_near_duplicates_stay_together() -> None:
    photos = [photo(i, "frog") for i in range(12)]
    groups = [0, 0, 0, 3, 4, 5, 5, 7, 8, 8, 8, 8]
    half = halves(photos, groups, ("frog",), 0)
    by_group = {(g, h) for g, h in zip(groups, half, strict=True)}
    assert len(by_group) == len(set(groups))
    assert set(half) == {0, 1}

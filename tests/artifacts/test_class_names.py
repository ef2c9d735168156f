"""Class names that people take for one name are found; others are not."""

from __future__ import annotations

import pytest

from edgekit.artifacts.class_names import find_alike


@pytest.mark.parametrize(
    ("name", "other", "why"),
    [
        ("Chicken", "chicken", "case"),
        ("chicken ", "chicken", "only by blanks"),
        ("guinea  fowl", "guinea fowl", "only by blanks"),
        ("guinea\u00a0fowl", "guinea fowl", "only by blanks"),
        ("Strauß", "STRAUSS", "case"),
        ("Ha\u0308hnchen", "H\u00e4hnchen", r"'Ha\\u0308hnchen' and 'H\\xe4hnchen'.*Unicode"),
        ("HA\u0308HNCHEN", "h\u00e4hnchen", "case"),
    ],
)
def test_names_that_look_like_one(name: str, other: str, why: str) -> None:
    for first, second in ((name, other), (other, name)):
        found = find_alike(["frog", first], ["dog", second])
        assert repr(first).casefold() in found.casefold() or "Unicode" in found
        assert why.split(" ")[-1] in found or "Unicode" in found
    assert find_alike([name, other], [name, other])


@pytest.mark.parametrize(
    ("names", "others"),
    [
        (["frog"], ["frog"]),
        (["frog", "dog"], ["cat"]),
        (["traffic light"], ["trafficlight", "traffic_light"]),
        (["m2"], ["m\u00b2"]),
        (["Frog", "frog"], ["dog"]),  # alike, but not to one of the others
    ],
)
def test_names_that_do_not(names: list[str], others: list[str]) -> None:
    assert not find_alike(names, others)

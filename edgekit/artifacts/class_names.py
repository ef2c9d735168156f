"""Class names that look like one name: they differ only by case, blanks or Unicode's form."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def find_alike(names: Iterable[str], others: Iterable[str]) -> str:
    """The first of ``names`` that differs from one of ``others`` only by case, blanks (also doubled ones) or how
    Unicode composes its letters, in words for a message; empty where there is none."""
    spelt: dict[str, list[str]] = {}
    for other in others:
        spelt.setdefault(_key(other), []).append(other)
    for name in names:
        for other in spelt.get(_key(name), ()):
            if other != name:
                return _words(name, other)
    return ""


def _key(name: str) -> str:
    return " ".join(_composed(_composed(name).casefold()).split())


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _words(name: str, other: str) -> str:
    if _composed(name) == _composed(other):  # printed as they are, both would look the same
        return f"{name!a} and {other!a} differ only by how Unicode composes their letters"
    blanks = " ".join(_composed(name).split()) == " ".join(_composed(other).split())
    return f"{name!r} and {other!r} differ only by {'blanks' if blanks else 'case or blanks'}"

"""How long work tells how far it is, without printing: the caller hands in a ``Track``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")
Say = Callable[[str], None]  # tells the user a line while the work goes on


class Track(Protocol):
    """Yields the items of an iterable and shows, beside a description, how many are done."""

    def __call__(self, items: Iterable[T], description: str, /) -> Iterator[T]:
        """Return an iterator over ``items``."""


def silent(items: Iterable[T], _description: str, /) -> Iterator[T]:
    """A ``Track`` that shows nothing."""
    return iter(items)


def unsaid(_line: str, /) -> None:
    """A ``Say`` that tells nobody."""

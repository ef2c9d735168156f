"""Shapes of annotation files, read one by one: one that cannot be read is a fault, and the others are used."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from edgekit.data.annotations.annotation_records import ObjectRecord
from edgekit.data.annotations.fault_kinds import DRAW_AGAIN, NO_NAME, Unusable
from edgekit.data.annotations.faults import FaultKind, Faults

NO_AREA = FaultKind("is a line, point, skeleton or cuboid", repair="not taken as an object")
UNKNOWN_SHAPE = FaultKind(
    "is of a kind that edgekit does not read", remedy="draw it as a box, a polygon or a mask, or delete it"
)
DAMAGED_SHAPE = FaultKind("its shape cannot be read", remedy=DRAW_AGAIN)
SEVERAL_CLASSES = FaultKind("has more than one class", remedy="leave it one")

Shape = TypeVar("Shape")


def numbered(shapes: Iterable[Any], noun: str, key: str) -> list[tuple[str, Any]]:
    """Shapes, each with where in its file it is: a noun and its id under ``key``, or its number from 1."""
    listed = [(n, item, item.get(key) if isinstance(item, dict) else None) for n, item in enumerate(shapes, 1)]
    return [(f"{noun} {n if given is None else given}", item) for n, item, given in listed]


def read_shapes(
    shapes: Iterable[tuple[str, Shape]], read: Callable[[str, Shape], ObjectRecord], file: Path, faults: Faults
) -> tuple[ObjectRecord, ...]:
    """The objects that ``read`` makes of shapes, each given with where in its file it is.

    What is ``Unusable``, and what has values that are missing or of another type, goes into the faults.
    """
    found = []
    for where, shape in shapes:
        try:
            found.append(read(where, shape))
        except Unusable as error:
            faults.add(error.kind, file, where, error.detail)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            faults.add(DAMAGED_SHAPE, file, where, what_is_wrong(error))
    return tuple(found)


def what_is_wrong(error: Exception) -> str:
    """In the words of annotations what made Python raise; a ``ValueError`` is edgekit's own and says it."""
    if isinstance(error, KeyError):
        return f"lacks {error}"
    return str(error) if isinstance(error, ValueError) else "it is null or of another type, or a part of it is"


def one_class(names: Iterable[object]) -> str:
    """The only one of some class names; raises ``Unusable`` where there is none, or several."""
    given = [str(name).strip() for name in names if str(name).strip()]
    if len(given) != 1:
        raise Unusable(SEVERAL_CLASSES if given else NO_NAME, ", ".join(given))
    return given[0]

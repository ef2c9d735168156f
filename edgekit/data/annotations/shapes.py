"""Shapes of annotation files, read one by one: one that cannot be read is a fault, and the others are used."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from edgekit.data.annotations.faults import FaultKind, Faults
from edgekit.data.annotations.records import ObjectRecord

NO_AREA = FaultKind("is a line, point, skeleton or cuboid", repair="not taken as an object")
UNKNOWN_SHAPE = FaultKind(
    "is of a kind that edgekit does not read", remedy="draw it as a box, a polygon or a mask, or delete it"
)
DAMAGED_SHAPE = FaultKind("cannot be read", remedy="draw it again, or delete it")
NO_CLASS = FaultKind("has no class", remedy="give it one, or delete it")
SEVERAL_CLASSES = FaultKind("has more than one class", remedy="leave it one")

Shape = TypeVar("Shape")


class ShapeFault(Exception):
    """What keeps a shape from being an object."""

    def __init__(self, kind: FaultKind, detail: str = "") -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


def read_shapes(
    shapes: Iterable[tuple[str, Shape]], read: Callable[[str, Shape], ObjectRecord], file: Path, faults: Faults
) -> tuple[ObjectRecord, ...]:
    """The objects that ``read`` makes of shapes, each given with where in its file it is.

    A ``ShapeFault``, and whatever is raised by values that are missing or of another type, goes into the faults.
    """
    found = []
    for where, shape in shapes:
        try:
            found.append(read(where, shape))
        except ShapeFault as error:
            faults.add(error.kind, file, where, error.detail)
        except KeyError as error:
            faults.add(DAMAGED_SHAPE, file, where, f"lacks {error}")
        except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            faults.add(DAMAGED_SHAPE, file, where, str(error))
    return tuple(found)


def one_class(names: Iterable[object]) -> str:
    """The only one of some class names; raises a ShapeFault where there is none, or several."""
    given = [str(name).strip() for name in names if str(name).strip()]
    if len(given) != 1:
        raise ShapeFault(SEVERAL_CLASSES if given else NO_CLASS, ", ".join(given))
    return given[0]

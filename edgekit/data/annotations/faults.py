"""What is wrong in annotations: collected while whole sets are read, and shown once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.errors import EdgekitError

REPAIRED, LEFT_OUT, REFUSED = "repaired", "left out", "refused"
SHOWN = 8  # places of one kind that a text names


@dataclass(frozen=True)
class ReadingOptions:
    """What to do with photos and annotations that have no plain meaning; by default they stop the work.

    ``crowd_as_objects`` takes what is marked ``iscrowd`` as objects, as tools mean it that mark so what is drawn with a
    brush.
    """

    skip_bad_images: bool = False
    skip_bad_annotations: bool = False
    crowd_as_objects: bool = False


@dataclass(frozen=True)
class FaultKind:
    """A kind of fault: what is wrong, in a few words that follow "where: ".

    ``repair`` is what is done about it, and "" where only the user can tell: then ``remedy`` is what to do.
    """

    text: str
    repair: str = ""
    remedy: str = ""
    of_photo: bool = False  # --skip-bad-images leaves it out, not --skip-bad-annotations
    is_left_out: bool = False  # in any case


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: in which ``file``, ``where`` in it ("annotation 17"; "" if it is the file), the details
    of this one, and how it was ``treated``: one of the constants above."""

    kind: FaultKind
    file: Path
    where: str
    treated: str
    detail: str = ""

    def __str__(self) -> str:
        place = f"{self.file}: {self.where}" if self.where else str(self.file)
        detail = f" ({self.detail})" if self.detail else ""
        return f"{place}: {self.kind.text}{detail}"


@dataclass(frozen=True)
class FaultRow:
    """All faults of one kind that were treated alike: ``places`` are all that are concerned."""

    kind: str
    treated: str
    count: int
    places: tuple[str, ...]
    about: str  # how they were repaired, or what to do
    example: str  # the details of the first


@dataclass
class Faults:
    """All that is wrong in some sets, and what the user wants to be done about it."""

    options: ReadingOptions = ReadingOptions()
    found: list[Fault] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)  # likely ones of a whole set's faults; never left out

    def add(self, kind: FaultKind, file: Path, where: str = "", detail: str = "") -> None:
        """Note one, and how it is treated: refused objects and photos are not in the dataset either way."""
        skips = self.options.skip_bad_images if kind.of_photo else self.options.skip_bad_annotations
        treated = REPAIRED if kind.repair else LEFT_OUT if skips or kind.is_left_out else REFUSED
        self.found.append(Fault(kind, file, where, treated, detail))

    def extend(self, others: Faults) -> None:
        """Note all of ``others`` too."""
        self.found += others.found
        self.causes += others.causes

    def treated(self, treated: str) -> Sequence[Fault]:
        """Those that were treated so."""
        return [fault for fault in self.found if fault.treated == treated]

    def repaired(self) -> dict[str, int]:
        """How many were repaired, by kind."""
        return dict(Counter(fault.kind.text for fault in self.treated(REPAIRED)))

    def left_out(self) -> tuple[str, ...]:
        """What was left out, one line each."""
        return tuple(str(fault) for fault in self.treated(LEFT_OUT))

    def rows(self) -> list[FaultRow]:
        """The faults by treatment, what stops the work first, and by kind, the most frequent first."""
        groups: dict[tuple[str, FaultKind], list[Fault]] = {}
        for fault in self.found:
            groups.setdefault((fault.treated, fault.kind), []).append(fault)
        order = (REFUSED, LEFT_OUT, REPAIRED)
        ordered = sorted(groups.items(), key=lambda group: (order.index(group[0][0]), -len(group[1])))
        return [
            FaultRow(kind.text, treated, len(some), _places(some), kind.repair or kind.remedy, some[0].detail)
            for (treated, kind), some in ordered
        ]

    def lines(self) -> list[str]:
        """``rows`` as lines of text; long lists of places are cut."""
        return [_line(row) for row in self.rows()]

    def raise_refused(self) -> None:
        """Raise an AnnotationError if anything was refused, or a cause of all faults was found."""
        if self.causes or self.treated(REFUSED):
            raise AnnotationError(self)


class AnnotationError(EdgekitError):
    """Annotations that cannot be used; ``faults`` holds all that is wrong, the message names the first of each kind."""

    def __init__(self, faults: Faults) -> None:
        refused = faults.treated(REFUSED)
        options = [
            option
            for option, wanted in (("--skip-bad-annotations", False), ("--skip-bad-images", True))
            if any(fault.kind.of_photo == wanted for fault in refused)
        ]
        skip = f"give {' and '.join(options)} to leave them out" if options and not faults.causes else ""
        self.faults = faults
        if len(refused) == 1 and not faults.causes:
            remedy = refused[0].kind.remedy
            super().__init__(str(refused[0]), f"{remedy}, or {skip}" if remedy else skip)
            return
        lines = [*faults.causes, *(line for line in faults.lines() if not line.startswith(REPAIRED))]
        said = "".join(f"\n  {line}" for line in lines)
        message = lines[0] if len(lines) == 1 else f"annotations cannot be used:{said}\n"
        super().__init__(message, skip or "mend the cause")

    def __reduce__(self) -> tuple[type[AnnotationError], tuple[Faults]]:
        return AnnotationError, (self.faults,)  # pickle would give the message instead


def _line(row: FaultRow) -> str:
    parts = [shortened(row.places), row.example and f"the first: {row.example}", row.about]
    return f"{row.treated} {row.count} x {row.kind}: {'; '.join(filter(None, parts))}"


def shortened(places: Sequence[str], most: int = SHOWN) -> str:
    """The first of some places, and how many more there are: "a.json: annotation 3, 8 and 5 more"."""
    shown: list[str] = []
    before = ""
    for place in places[:most]:
        what, _, number = place.rpartition(" ")
        shown.append(number if what and before.endswith(what) else place)
        before = what
    more = len(places) - most
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _places(faults: Sequence[Fault]) -> tuple[str, ...]:
    """Where faults of one kind are: the file's name only where it changes."""
    places: list[str] = []
    before: Path | None = None
    for fault in faults:
        name = str(fault.file) if before is None else fault.file.name
        place = f"{name}: {fault.where}" if fault.where else name
        places.append(fault.where if fault.file == before and fault.where else place)
        before = fault.file
    return tuple(places)

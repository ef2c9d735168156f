"""What is wrong in annotations: collected while a whole set is read, and shown once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

REPAIRED, LEFT_OUT, REFUSED = "repaired", "left out", "refused"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: its ``kind`` in a few words, the same for all of a kind, ``where`` it is, how it was
    ``treated`` (one of the constants above), the details of this one, and what to do about the kind."""

    kind: str
    where: str
    treated: str
    detail: str = ""
    remedy: str = ""


@dataclass
class Faults:
    """All that is wrong in a set."""

    found: list[Fault] = field(default_factory=list)

    def add(self, kind: str, where: str, treated: str, detail: str = "", remedy: str = "") -> None:
        """Note one."""
        self.found.append(Fault(kind, where, treated, detail, remedy))

    def treated(self, treated: str) -> Sequence[Fault]:
        """Those that were treated so."""
        return [fault for fault in self.found if fault.treated == treated]

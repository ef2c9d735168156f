"""What to do about what ``check`` found."""

from __future__ import annotations

from edgekit.checking.check_result import Check
from edgekit.report.tables import counted

LOW_RECALL = 0.8  # of the RPN, below which advice is given
MANY_SMALL = 0.2  # of a class's objects are small on the canvas, from which on advice is given


def advice(result: Check) -> list[str]:
    """One line per thing to do, what stops ``adapt`` first."""
    lines = list(result.causes)
    if result.refused and not result.causes:
        lines.append(
            f"{counted(result.refused, 'fault')} only you can mend: mend them, or leave them out with "
            "--skip-bad-annotations and --skip-bad-images"
        )
    small = [c.name for c in result.classes if c.objects and c.small >= MANY_SMALL * c.objects]
    if small:
        height, width = result.size
        lines.append(
            f"many objects are smaller than 32x32 pixels on an input of {height}x{width} ({', '.join(small)}): "
            "a larger --size finds more of them"
        )
    if any(group.over_the_split for group in result.duplicates):
        lines.append(
            "held-out photos resemble photos that are learned from, so their AP will be too high: hold out whole "
            "scenes or videos with --val FILE"
        )
    return lines + _about_base(result)


def _about_base(result: Check) -> list[str]:
    found = result.findings
    if found is None:
        return []
    lines = []
    if found.alike:
        lines.append(
            f"a class and one of the base model's, {found.alike}: give both one name if they are one class, else two"
        )
    objects = {c.name: c.objects for c in result.classes}
    missed = [name for name, count in found.proposed.items() if count < LOW_RECALL * objects[name]]
    if missed:
        lines.append(
            f"the frozen RPN misses many objects of {', '.join(missed)}, and what it misses is never detected: give a "
            "larger --size, or larger objects"
        )
    if found.unjudged:
        lines.append(
            "too little was learned from these photos to say which objects are unlike their class: "
            + ", ".join(found.unjudged)
        )
    return lines

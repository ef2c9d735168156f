"""What ``check`` found as tables, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgekit.checking.check_result import Check
from edgekit.checking.class_facts import QUANTILES
from edgekit.data.annotations.faults import REFUSED, shortened
from edgekit.report.sheets import Sheet
from edgekit.report.tables import counted

SHAPES = 8  # of photos that are listed


def check_sheets(result: Check, most: int) -> list[Sheet]:
    """All tables that are not empty; of suspects and near-duplicates at most ``most``."""
    tables = [faults_sheet(result, most), classes_sheet(result), sizes_sheet(result), shapes_sheet(result)]
    tables += [called_sheet(result), suspects_sheet(result, most), duplicates_sheet(result, most)]
    return [table for table in tables if table.rows]


def faults_sheet(result: Check, most: int) -> Sheet:
    """The faults by kind, each with at most ``most`` of its places."""
    rows = []
    for row in result.faults:
        example = f" (e.g. {row.example})" if row.example else ""
        rows.append((row.kind + example, row.treated, shortened(row.places, most), row.about, str(row.count)))
    styles = tuple("bold red" if row.treated == REFUSED else "" for row in result.faults)
    columns = ("fault", "treated", "where", "how, or what to do", "count")
    return Sheet("faults of the annotations", columns, tuple(rows), words=4, styles=styles)


def classes_sheet(result: Check) -> Sheet:
    """What is annotated of each class; with a base model, for how many boxes it gives a mask."""
    columns = ["class", "photos", "objects", "with masks", "boxes only", "crowds"]
    made = result.findings.made_masks if result.findings is not None else {}
    if made:
        columns.append("masks made")
    rows = []
    for c in result.classes:
        cells = [c.name, *map(str, (c.photos, c.objects, c.with_masks, c.boxes_only, c.crowds))]
        rows.append((*cells, *([str(made[c.name].made) if c.name in made else "0"] if made else [])))
    return Sheet(f"{counted(result.photos, 'photo')} by class", tuple(columns), tuple(rows))


def sizes_sheet(result: Check) -> Sheet:
    """Sizes by class; with a base model, how many objects its RPN proposes."""
    height, width = result.size
    columns = ["class", "in the photo", "on the input", "below 32x32 there"]
    proposed = result.findings.proposed if result.findings is not None else None
    if proposed is not None:
        columns.append("proposed by the RPN")
    rows = []
    for c in result.classes:
        cells = [c.name, _sizes(c.photo_pixels), _sizes(c.canvas_pixels), f"{c.small} of {c.objects}"]
        rows.append((*cells, *([f"{proposed.get(c.name, 0)} of {c.objects}"] if proposed is not None else [])))
    ranks = ", ".join(f"{100 * q:.0f}" for q in QUANTILES)
    title = f"sizes (square roots of areas at {ranks}%) in pixels of the photo and of an input of {height}x{width}"
    return Sheet(title, tuple(columns), tuple(rows))


def shapes_sheet(result: Check) -> Sheet:
    """The photos' shapes."""
    rows = [(f"{shape.height}x{shape.width}", str(shape.photos)) for shape in result.shapes[:SHAPES]]
    if rest := result.shapes[SHAPES:]:
        rows.append((f"{len(rest)} other shapes", str(sum(shape.photos for shape in rest))))
    height, width = result.suggested_size
    return Sheet(f"an input of {height}x{width} suits the photos", ("height x width", "photos"), tuple(rows))


def called_sheet(result: Check) -> Sheet:
    """What the base model calls the new classes' objects."""
    called = result.findings.called if result.findings is not None else {}
    objects = {facts.name: facts.objects for facts in result.classes}
    rows = [
        (name, old, f"{count} of {objects[name]}") for name, found in called.items() for old, count in found.items()
    ]
    return Sheet("what the base model calls them", ("class", "called", "objects"), tuple(rows), words=2)


def suspects_sheet(result: Check, most: int) -> Sheet:
    """Probable mistakes, the surest of each kind."""
    suspects = result.findings.suspects if result.findings is not None else ()
    by_kind = {kind: [s for s in suspects if s.kind == kind] for kind in dict.fromkeys(s.kind for s in suspects)}
    rows = [
        (s.kind, result.short(s.photo), s.annotated, s.found, f"{s.score:.2f}", ", ".join(f"{v:.0f}" for v in s.box))
        for found in by_kind.values()
        for s in found[:most]
    ]
    counts = ", ".join(f"{len(found)} x {kind}" for kind, found in by_kind.items())
    columns = ("probably", "photo", "annotated", "found", "score", "box (x, y, w, h)")
    return Sheet(f"contradicted by a first adaptation: {counts}", columns, tuple(rows), words=4)


def duplicates_sheet(result: Check, most: int) -> Sheet:
    """Groups of near-duplicates, those over the split first."""
    rows = [
        (_names(result, group.learned), _names(result, group.held_out), str(len(group.learned) + len(group.held_out)))
        for group in result.duplicates[:most]
    ]
    over = sum(len(group.held_out) for group in result.duplicates if group.over_the_split)
    title = f"near-duplicates: {counted(len(result.duplicates), 'group')}"
    if over:
        title += f"; {over} of {counted(result.held_out, 'held-out photo')} resemble photos that are learned from"
    return Sheet(title, ("learned from", "held out", "photos"), tuple(rows), words=2)


def _names(result: Check, photos: Sequence[Path]) -> str:
    return shortened([result.short(photo) for photo in photos], 3)


def _sizes(quantiles: Sequence[float]) -> str:
    return "/".join(f"{v:.0f}" for v in quantiles)

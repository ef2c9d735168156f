"""Tables of what was installed into a model's folder."""

from __future__ import annotations

from rich.table import Table

from edgekit.deployment.folder.installing import Installation
from edgekit.report.tables import facts


def installation_table(what: str, result: Installation) -> Table:
    """What a folder gained or lost, and what is in it now."""
    rows: list[tuple[str, str | None]] = [
        (what, ", ".join(result.changed)),
        ("packs", ", ".join(result.installed) or "none"),
        ("their classes", ", ".join(result.classes) or None),
        ("written", f"{result.megabytes:.1f} MB" if result.megabytes else None),
        ("seconds", f"{result.seconds}"),
    ]
    return facts(str(result.folder), rows)

"""Tables of packs, and of what was installed into a model's folder."""

from __future__ import annotations

from rich.table import Table

from edgekit.deployment.folder.installing import Installation
from edgekit.report.inspect_parts import PackInspection
from edgekit.report.sheets import facts


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


def pack_table(result: PackInspection) -> Table:
    """What a pack is, and what it belongs to."""
    size = f"{result.megabytes:.1f} MB, {result.parameters / 1e6:.2f} M parameters"
    rows: list[tuple[str, str | None]] = [
        ("kind", f"{result.kind}, {size}"),
        ("classes", ", ".join(result.classes)),
        ("of these refined", ", ".join(result.refines) or None),
        ("base model", f"{result.architecture} {result.base}"),
        ("trained on", f"{result.precision} features"),
        ("on top of", ", ".join(parent.name for parent in result.parents) or None),
        ("old detections", result.old_detections or "not proven"),
        ("sha256", result.sha256),
        ("made with", ", ".join(f"{k} {v}" for k, v in result.versions.items())),
    ]
    for name, value in result.training.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        rows.append((name, shown))
    return facts(str(result.artifact), rows)

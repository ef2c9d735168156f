"""The commands ``edgekit install`` and ``edgekit remove``."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli import shared_options as shared
from edgekit.cli.console import show, track
from edgekit.cli.shared_options import FILE


@click.command("install")
@click.argument("packs", metavar="PACK...", type=FILE, nargs=-1, required=True)
@click.argument("folder", type=FILE)
@click.option("--force", is_flag=True, help="Take packs that were trained on features of another precision.")
@shared.json_option
def install_command(as_json: bool, packs: tuple[Path, ...], folder: Path, force: bool) -> None:
    """Add packs to a model's folder, in place; the base model's files stay as they are."""
    from edgekit.deployment.folder.installing import install
    from edgekit.report.folder_tables import installation_table

    result = install(packs, folder, force, track)
    show(result, as_json, [installation_table("installed", result)] if not as_json else [])


@click.command("remove")
@click.argument("name")
@click.argument("folder", type=FILE)
@shared.json_option
def remove_command(as_json: bool, name: str, folder: Path) -> None:
    """Remove the pack NAME from a model's folder; nothing else changes."""
    from edgekit.deployment.folder.installing import remove
    from edgekit.report.folder_tables import installation_table

    result = remove(name, folder)
    show(result, as_json, [installation_table("removed", result)] if not as_json else [])

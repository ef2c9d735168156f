"""The command ``edgekit inspect``."""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli import shared_options as shared
from edgekit.cli.console import show


@click.command("inspect")
@click.argument("artifact")
@shared.base_classes_option
@shared.architecture_option
@shared.settings_option
@shared.json_option
def inspect_command(as_json: bool, artifact: str, **options: Any) -> None:
    """Say what a model file, a pack or a model's folder is."""
    from edgekit.model.hints import CheckpointHints
    from edgekit.report.folder_tables import pack_table
    from edgekit.report.inspect import Inspection, inspect
    from edgekit.report.tables import inspection_table, settings_table

    result = inspect(artifact, shared.record(CheckpointHints, options))
    if not isinstance(result, Inspection):
        show(result, as_json, [pack_table(result)])
        return
    show(result, as_json, [inspection_table(result), settings_table(result.meta.settings)])
    if not as_json and (assumed := result.meta.settings.assumed()):
        click.echo(
            f"assumed, since the weights do not say it: {', '.join(assumed)}; --settings FILE gives it", err=True
        )

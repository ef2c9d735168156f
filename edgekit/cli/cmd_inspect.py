"""The command ``edgekit inspect``."""

from __future__ import annotations

import click

from edgekit.cli.console import show
from edgekit.cli.shared_options import json_option


@click.command("inspect")
@click.argument("artifact")
@json_option
def inspect_command(as_json: bool, artifact: str) -> None:
    """Say what a model file, a pack or a model's folder is."""
    from edgekit.report.folder_tables import pack_table
    from edgekit.report.inspect import Inspection, inspect
    from edgekit.report.tables import inspection_table

    result = inspect(artifact)
    table = inspection_table(result) if isinstance(result, Inspection) else pack_table(result)
    show(result, as_json, [table])

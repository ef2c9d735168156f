"""The command ``edgekit inspect``."""

from __future__ import annotations

import click

from edgekit.cli.console import show
from edgekit.cli.shared_options import json_option


@click.command("inspect")
@click.argument("artifact")
@json_option
def inspect_command(as_json: bool, artifact: str) -> None:
    """Say what a model file is."""
    from edgekit.report.inspect import inspect
    from edgekit.report.tables import inspection_table

    result = inspect(artifact)
    show(result, as_json, [inspection_table(result)] if not as_json else [])

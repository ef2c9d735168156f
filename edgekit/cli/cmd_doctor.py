"""The command ``edgekit doctor``."""

from __future__ import annotations

import click

from edgekit.cli.console import show
from edgekit.cli.shared_options import json_option


@click.command("doctor")
@json_option
@click.pass_context
def doctor_command(context: click.Context, as_json: bool) -> None:
    """Say what this machine is, what edgekit can do on it, and what is wrong; exit 1 if something is broken."""
    from edgekit.report.doctor import doctor
    from edgekit.report.doctor_tables import doctor_tables

    found = doctor()
    show(found, as_json, doctor_tables(found) if not as_json else [])
    if not found.healthy:
        context.exit(1)

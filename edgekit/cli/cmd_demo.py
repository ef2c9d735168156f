"""The command ``edgekit demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli.console import show, suggest, track
from edgekit.cli.shared_options import FILE, force_option, json_option


@click.command("demo")
@click.option("-o", "--output", type=FILE, default=Path("demo"), show_default=True, help="Folder to write.")
@click.option("--seed", default=0, show_default=True, help="Seed of the scenes and of the training.")
@force_option
@json_option
def demo_command(as_json: bool, **options: Any) -> None:
    """Run the whole loop on the embedded model: add two classes, export, evaluate, time, report."""
    from edgekit.demo.run_demo import run_demo
    from edgekit.demo.summary_table import demo_tables

    summary = run_demo(**options, track=track)
    show(summary, as_json, demo_tables(summary) if not as_json else [])
    suggest(as_json, f"look at {options['output'] / 'report.html'}")

"""The command ``edgekit check``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli import shared_options as shared
from edgekit.cli.console import show, suggest, track
from edgekit.cli.shared_options import FILE, Size

if TYPE_CHECKING:
    from edgekit.data.annotations.faults import ReadingOptions

LISTED = 5  # suspects of a kind, groups of near-duplicates, places of a kind of fault


@click.command("check")
@click.argument("base", required=False, default=None)
@shared.data_option
@click.option("--images", type=FILE, required=True, help="Folder of the photos.")
@click.option("-o", "--output", type=FILE, default=Path("check.html"), show_default=True, help="Page to write.")
@click.option("--fix", type=FILE, default=None, help="COCO JSON to write the repaired annotations to.")
@shared.val_option
@click.option("--size", type=Size(), default=None, help="Input height and width.  [default: what suits the photos]")
@shared.base_classes_option
@shared.architecture_option
@shared.settings_option
@shared.cache_option
@shared.cache_gb_option
@click.option("--seed", default=0, show_default=True, help="Seed of the split and of the photos shown.")
@shared.skip_option
@shared.skip_annotations_option
@shared.crowd_option
@shared.force_option
@shared.json_option
@click.pass_context
def check_command(context: click.Context, as_json: bool, **options: Any) -> None:
    """Look for faults in annotated photos; with BASE, also for labels that a first adaptation contradicts.

    Exits 1 if there are faults that only you can mend.
    """
    from edgekit.checking.check import check
    from edgekit.checking.check_advice import advice
    from edgekit.checking.check_sheets import check_sheets
    from edgekit.data.annotations.faults import ReadingOptions
    from edgekit.model.hints import CheckpointHints
    from edgekit.report.sheets import rich_table

    options["reading"] = reading = shared.record(ReadingOptions, options)
    options["hints"] = shared.record(CheckpointHints, options)
    result = check(**options, track=track)
    show(result, as_json, [rich_table(sheet) for sheet in check_sheets(result, LISTED)] if not as_json else [])
    for line in advice(result):
        click.echo(f"edgekit: {line}", err=True)
    given = shlex.join(["--data", str(result.fixed or result.data), "--images", str(result.images)])
    if result.causes:
        context.exit(1)
    if result.refused:
        suggest(as_json, f"edgekit check {given} --skip-bad-annotations --skip-bad-images --fix clean.json")
        context.exit(1)
    suggest(as_json, f"edgekit adapt {shlex.quote(result.base or 'BASE')} {given}{_again(reading)} -o new.pack")


def _again(reading: ReadingOptions) -> str:
    """The options of reading that were given, as the next command takes them."""
    return "".join(f" --{name.replace('_', '-')}" for name, given in vars(reading).items() if given)

"""The command ``edgekit eval``."""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli import shared_options as shared
from edgekit.cli.console import show, track
from edgekit.cli.shared_options import FILE


@click.command("eval")
@click.argument("model")
@shared.data_option
@click.option("--images", type=FILE, required=True, help="Folder of the annotated photos.")
@shared.overlaps_option("keep")
@shared.pack_option
@shared.base_classes_option
@shared.architecture_option
@shared.settings_option
@shared.skip_option
@shared.json_option
def eval_command(as_json: bool, **options: Any) -> None:
    """Measure COCO AP, old and new classes apart."""
    from edgekit.measurement.evaluate import evaluate
    from edgekit.model.hints import CheckpointHints
    from edgekit.report.tables import evaluation_table
    from edgekit.runtime.selection import Selection

    selection, hints = shared.record(Selection, options), shared.record(CheckpointHints, options)
    result = evaluate(**options, selection=selection, hints=hints, track=track)
    show(result, as_json, [evaluation_table(result)] if not as_json else [])
    for message in result.skipped:
        click.echo(f"skipped: {message}", err=True)
    if result.not_in_model:
        click.echo(f"not in the model, left out: {', '.join(result.not_in_model)}", err=True)

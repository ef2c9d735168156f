"""``edgekit predict`` and ``edgekit inspect``: what a model finds, and what it is."""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli.console import show, track
from edgekit.cli.options import FILE, best_only_option, generations_option, json_option, skip_option


@click.command()
@click.argument("model")
@click.argument("images", type=FILE, nargs=-1, required=True)
@click.option("-o", "--output", type=FILE, default=None, help="Folder to write annotated pictures to.")
@click.option("--min-score", default=0.5, show_default=True, help="Leave out detections below this score.")
@generations_option
@best_only_option
@skip_option
@json_option
def predict(as_json: bool, **options: Any) -> None:
    """Find objects in images (files or folders) and draw them."""
    from edgekit.report import predict
    from edgekit.report.tables import prediction_table

    predictions = predict.predict(**options, track=track)
    rows = [{"image": p.image, "detections": p.detections} for p in predictions if not p.skipped]
    show(rows, as_json, [prediction_table(predictions)] if not as_json else [])
    for prediction in predictions:
        if prediction.skipped:
            click.echo(f"skipped: {prediction.skipped}", err=True)
    if options["output"] is not None and not as_json:
        click.echo(f"pictures: {options['output']}")


@click.command()
@click.argument("artifact")
@json_option
def inspect(as_json: bool, **options: Any) -> None:
    """Say what a model file is."""
    from edgekit.report import inspect
    from edgekit.report.tables import inspection_table

    result = inspect.inspect(**options)
    show(result, as_json, [inspection_table(result)] if not as_json else [])

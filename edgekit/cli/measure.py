"""``edgekit eval`` and ``edgekit bench``: how good a model is, and how fast."""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli.console import show, track
from edgekit.cli.options import FILE, best_only_option, generations_option, json_option, skip_option


@click.command("eval")
@click.argument("model")
@click.option("--data", type=FILE, required=True, help="The true objects: COCO JSON, YOLO, LabelMe or VOC folder.")
@click.option("--images", type=FILE, required=True, help="Folder of the photos it names.")
@generations_option
@best_only_option
@skip_option
@json_option
def evaluate(as_json: bool, **options: Any) -> None:
    """Measure COCO AP, old and new classes apart."""
    from edgekit.measurement import evaluate
    from edgekit.report.tables import evaluation_table

    result = evaluate.evaluate(**options, track=track)
    show(result, as_json, [evaluation_table(result)] if not as_json else [])
    for message in result.skipped:
        click.echo(f"skipped: {message}", err=True)
    if result.not_in_model:
        click.echo(f"not in the model, left out: {', '.join(result.not_in_model)}", err=True)


@click.command()
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--images", type=FILE, default=None, help="Folder of photos.  [default: those that come with edgekit]")
@click.option("--runs", default=50, show_default=True, help="Timed runs of each model.")
@json_option
def bench(as_json: bool, **options: Any) -> None:
    """Time models side by side: interleaved, on the same photos."""
    from edgekit.measurement import bench
    from edgekit.report.tables import latency_table

    rows = bench.bench(**options, track=track)
    show(rows, as_json, [latency_table(rows)] if not as_json else [])

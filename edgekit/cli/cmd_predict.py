"""``edgekit predict`` and ``edgekit inspect``: what a model finds, and what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.console import show, track
from edgekit.cli.shared_options import (
    FILE,
    architecture_option,
    base_classes_option,
    best_only_option,
    force_option,
    generations_option,
    json_option,
    skip_option,
)

if TYPE_CHECKING:
    from edgekit.inference.live import Stream


@click.command()
@click.argument("model")
@click.argument("images", type=FILE, nargs=-1, default=())
@click.option("-o", "--output", type=FILE, default=None, help="Folder of annotated pictures; annotated video (.mp4).")
@click.option("--min-score", default=0.5, show_default=True, help="Leave out detections below this score.")
@generations_option
@best_only_option
@base_classes_option
@architecture_option
@skip_option
@click.option("--camera", default=None, help="Look at a camera: 0, /dev/video0, csi:0 (Jetson), rtsp://...")
@click.option("--jsonl", type=FILE, default=None, help="File to write one line of JSON an image or frame to.")
@click.option("--frames", type=int, default=None, help="End a video or camera after so many frames.")
@force_option
@json_option
@click.pass_context
def predict(context: click.Context, as_json: bool, **options: Any) -> None:
    """Find objects in images (files or folders), a video or a camera, and draw them; Ctrl-C ends a camera."""
    from edgekit.inference import predict
    from edgekit.inference.live import Stream
    from edgekit.report.tables import prediction_table

    predictions = predict.predict(**options, track=track)
    if isinstance(predictions, Stream):
        _show_stream(context, predictions, as_json)
        return
    rows = [{"image": p.image, "detections": p.detections} for p in predictions if not p.skipped]
    show(rows, as_json, [prediction_table(predictions)] if not as_json else [])
    for prediction in predictions:
        if prediction.skipped:
            click.echo(f"skipped: {prediction.skipped}", err=True)
    if options["output"] is not None and not as_json:
        click.echo(f"pictures: {options['output']}")


def _show_stream(context: click.Context, stream: Stream, as_json: bool) -> None:
    """What came of a video; exit 1 if it ended where it should not have."""
    from edgekit.report.tables import stream_table

    show(stream, as_json, [stream_table(stream)] if not as_json else [])
    if stream.problem:
        click.echo(f"edgekit: {stream.problem}", err=True)
        context.exit(1)


@click.command()
@click.argument("artifact")
@json_option
def inspect(as_json: bool, **options: Any) -> None:
    """Say what a model file is."""
    from edgekit.report import inspect
    from edgekit.report.tables import inspection_table

    result = inspect.inspect(**options)
    show(result, as_json, [inspection_table(result)] if not as_json else [])

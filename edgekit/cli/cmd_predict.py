"""The command ``edgekit predict``."""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli import shared_options as shared
from edgekit.cli.console import show, track
from edgekit.cli.shared_options import FILE


@click.command("predict")
@click.argument("model")
@click.argument("images", type=FILE, nargs=-1, default=())
@click.option("-o", "--output", type=FILE, default=None, help="Folder of annotated pictures; annotated video (.mp4).")
@click.option("--min-score", default=0.5, show_default=True, help="Leave out detections below this score.")
@shared.overlaps_option("one")
@shared.pack_option
@shared.base_classes_option
@shared.architecture_option
@shared.settings_option
@shared.skip_option
@click.option("--camera", default=None, help="Camera to read: 0, /dev/video0, csi:0 (Jetson), rtsp://...")
@click.option("--jsonl", type=FILE, default=None, help="File to write one line of JSON per image or frame to.")
@click.option("--frames", type=int, default=None, help="End a video or camera after that many frames.")
@shared.force_option
@shared.json_option
@click.pass_context
def predict_command(context: click.Context, as_json: bool, **options: Any) -> None:
    """Find objects in images (files or folders), a video or a camera, and draw them; Ctrl-C ends a camera."""
    from edgekit.inference.live import Stream
    from edgekit.inference.predict import predict
    from edgekit.model.hints import CheckpointHints
    from edgekit.report.tables import prediction_table, stream_table
    from edgekit.runtime.selection import Selection

    selection, hints = shared.record(Selection, options), shared.record(CheckpointHints, options)
    found = predict(**options, selection=selection, hints=hints, track=track)
    if isinstance(found, Stream):
        show(found, as_json, [stream_table(found)] if not as_json else [])
        if found.problem:
            click.echo(f"edgekit: {found.problem}", err=True)
            context.exit(1)
        return
    rows = [{"image": p.image, "detections": p.detections} for p in found if not p.skipped]
    show(rows, as_json, [prediction_table(found)] if not as_json else [])
    for prediction in found:
        if prediction.skipped:
            click.echo(f"skipped: {prediction.skipped}", err=True)
    if options["output"] is not None and not as_json:
        click.echo(f"pictures: {options['output']}")

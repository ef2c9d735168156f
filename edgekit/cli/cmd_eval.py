"""The command ``edgekit eval``."""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli import shared_options as shared
from edgekit.cli.console import say, show, track
from edgekit.cli.shared_options import FILE


@click.command("eval")
@click.argument("model")
@click.option("--data", type=FILE, required=True, help="Annotations: COCO JSON, or a YOLO, LabelMe or VOC folder.")
@click.option("--images", type=FILE, required=True, help="Folder of the annotated photos.")
@shared.overlaps_option("keep")
@shared.pack_option
@shared.base_classes_option
@shared.architecture_option
@shared.settings_option
@shared.skip_option
@shared.skip_annotations_option
@shared.crowd_option
@shared.json_option
def eval_command(as_json: bool, **options: Any) -> None:
    """Measure COCO AP, old and new classes apart."""
    from edgekit.data.annotations.faults import ReadingOptions
    from edgekit.measurement.evaluate import evaluate
    from edgekit.model.hints import CheckpointHints
    from edgekit.report.tables import evaluation_table
    from edgekit.runtime.selection import Selection

    kinds = {"selection": Selection, "hints": CheckpointHints, "reading": ReadingOptions}
    records: dict[str, Any] = {name: shared.record(kind, options) for name, kind in kinds.items()}
    result = evaluate(**options, **records, track=track, say=say)
    show(result, as_json, [evaluation_table(result)] if not as_json else [])
    if result.not_in_model:
        click.echo(f"not in the model, left out: {', '.join(result.not_in_model)}", err=True)

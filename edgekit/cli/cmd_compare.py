"""The command ``edgekit compare``."""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli import shared_options as shared
from edgekit.cli.console import show, track
from edgekit.cli.shared_options import FILE
from edgekit.errors import EdgekitError


@click.command("compare")
@click.argument("a")
@click.argument("b")
@click.option("--images", type=FILE, default=None, help="Folder of photos.  [default: those that come with edgekit]")
@click.option("--data", type=FILE, default=None, help="Annotations of --images: adds the AP of both.")
@click.option("--min-matched", type=float, default=None, help="Exit 1 if a smaller share of detections matches.")
@shared.pack_option
@shared.base_classes_option
@shared.architecture_option
@shared.settings_option
@shared.json_option
def compare_command(as_json: bool, **options: Any) -> None:
    """Say how far two forms of a model (A and B: checkpoint, ONNX) differ, and at which stage it begins."""
    from edgekit.comparison.compare import compare
    from edgekit.model.hints import CheckpointHints
    from edgekit.report.tables import comparison_tables

    hints = shared.record(CheckpointHints, options)
    result = compare(**options, hints=hints, track=track)
    show(result, as_json, comparison_tables(result) if not as_json else [])
    if not result.passed:
        place = f"; they differ from: {result.differs_at}" if result.differs_at else ""
        raise EdgekitError(
            f"{result.b}: {result.matched_share:.4f} of the detections match, {result.min_matched:g} was asked for"
            f" ({result.verification.numbers}{place})",
            "export it again, or lower --min-matched",
        )

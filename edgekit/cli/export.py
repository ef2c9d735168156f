"""``edgekit export``."""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli.console import show, suggest, track
from edgekit.cli.options import FILE, Size, best_only_option, generations_option, json_option


@click.command()
@click.argument("model")
@click.option("-o", "--output", type=FILE, required=True, help="File to write (.onnx; .pth or .safetensors).")
@click.option("--size", type=Size(), default=None, help="Input height and width.  [default: the model's own]")
@click.option("--format", default="onnx", show_default=True, help="onnx, or torchvision: a state dict it loads.")
@generations_option
@best_only_option
@click.option("--batch", default=1, show_default=True, help="Images a run.")
@click.option("--proposals", type=int, default=None, help="RoIs of an image.  [default: the model's own number]")
@click.option("--detections", type=int, default=None, help="Slots of a generation.  [default: the model's own number]")
@click.option("--reserve-classes", default=0, show_default=True, help="Leave room for so many classes more.")
@click.option("--into", type=FILE, default=None, help="Graph with such room: give it to the newest classes.")
@click.option("--verify", type=FILE, default=None, help="Folder of photos to compare on.  [default: edgekit's own]")
@click.option("--no-verify", is_flag=True, help="Write the graph without comparing it.")
@json_option
def export(as_json: bool, **options: Any) -> None:
    """Write a checkpoint as one static ONNX graph without plugins, compared with PyTorch first."""
    from edgekit.deployment import onnx_export
    from edgekit.report.tables import export_table

    result = onnx_export.export(**options, track=track)
    show(result, as_json, [export_table(result)] if not as_json else [])
    if result.format == "onnx":
        suggest(as_json, f"edgekit bench {options['model']} {result.output}")

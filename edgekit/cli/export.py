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
@json_option
def export(as_json: bool, **options: Any) -> None:
    """Write a checkpoint as one static ONNX graph without plugins, compared with PyTorch first."""
    from edgekit.deployment import onnx_export
    from edgekit.report.tables import export_table

    result = onnx_export.export(**options, track=track)
    show(result, as_json, [export_table(result)] if not as_json else [])
    if result.format == "onnx":
        suggest(as_json, f"edgekit bench {options['model']} {result.output}")

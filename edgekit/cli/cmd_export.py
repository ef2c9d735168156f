"""``edgekit export``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli import shared_options as shared
from edgekit.cli.console import show, suggest, track
from edgekit.cli.shared_options import FILE, Names, Size


@click.command("export")
@click.argument("model")
@click.option("-o", "--output", type=FILE, required=True, help="File (.onnx, .engine; .pth, .safetensors), or folder.")
@click.option("--size", type=Size(), default=None, help="Input height and width.  [default: the model's own]")
@click.option("--images", type=FILE, default=None, help="Folder of photos that the input's size is to suit.")
@click.option("--format", default="onnx", show_default=True, help="onnx, or torchvision: a state dict it loads.")
@shared.overlaps_option("keep")
@shared.pack_option
@shared.base_classes_option
@shared.architecture_option
@shared.settings_option
@click.option("--batch", default=1, show_default=True, help="Images per run.")
@click.option("--input", default=None, help="uint8 [N, H, W, 3], or float [N, 3, H, W].  [default: uint8]")
@click.option("--labels", default=None, help="Type of the labels: int64 or int32.  [default: int64]")
@click.option("--proposals", type=int, default=None, help="RoIs per image.  [default: the model's own number]")
@click.option(
    "--detections", type=int, default=None, help="Detections per generation.  [default: the model's own number]"
)
@click.option(
    "--sampling-cells",
    type=int,
    default=None,
    help="Cells that a bin of adaptive RoIAlign reads.  [default: 36, for masks 16]",
)
@click.option("--precision", default=None, help="fp32, fp16 or int8, written into the graph.  [default: fp32]")
@click.option("--target", default="tensorrt", show_default=True, help="What fp32 and int8 are made for: tensorrt, cpu.")
@click.option("--calibration", type=FILE, default=None, help="For int8: folder of photos, a set's JSON, or a table.")
@click.option("--keep", type=Names(), default=("auto",), help="Blocks to keep in fp32, or none.  [default: auto]")
@click.option("--trt", default=None, help="Build a TensorRT engine too: fp32, fp16 or int8.")
@click.option("--compute-capability", type=Names(), default=(), help="Compile ahead of time for these GPUs, e.g. 8.6.")
@click.option("--workspace-mb", type=int, default=None, help="The builder's memory.  [default: what is free]")
@click.option("--timing-cache", type=FILE, default=None, help="Folder of timings that later builds reuse.")
@click.option("--version-compatible", is_flag=True, help="An engine that later TensorRT releases load.")
@click.option("--hardware-compatible", is_flag=True, help="An engine for Ampere and newer GPUs.")
@click.option("--triton", type=FILE, default=None, help="Triton model repository to write into.")
@click.option("--verify", type=FILE, default=None, help="Folder of photos to compare on.  [default: edgekit's own]")
@click.option("--no-verify", is_flag=True, help="Write the graph without comparing it.")
@shared.force_option
@shared.json_option
def export_command(as_json: bool, verify: Path | None, no_verify: bool, **options: Any) -> None:
    """Write a checkpoint as one static ONNX graph without plugins, compared with PyTorch first; or an engine."""
    from edgekit.artifacts.graph_shapes import GraphShape
    from edgekit.deployment.export.export import export as export_model
    from edgekit.deployment.precision.conversion import Conversion
    from edgekit.deployment.tensorrt.build_options import EngineOptions
    from edgekit.model.hints import CheckpointHints
    from edgekit.report.tables import export_table

    records = {"hints": CheckpointHints, "shape": GraphShape, "conversion": Conversion, "engine": EngineOptions}
    for name, record in records.items():
        options[name] = shared.record(record, options)
    result = export_model(**options, verify=not no_verify and (verify or True), track=track)
    show(result, as_json, [export_table(result)] if not as_json else [])
    if result.output.is_dir():
        suggest(as_json, f"edgekit install PACK {options['output']}")
    elif result.format == "onnx":
        suggest(as_json, f"edgekit bench {options['model']} {result.output}")

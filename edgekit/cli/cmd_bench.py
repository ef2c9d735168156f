"""The command ``edgekit bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli import shared_options as shared
from edgekit.cli.console import show, track, write_json
from edgekit.cli.shared_options import FILE, Names, Share


@click.command("bench")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--images", type=FILE, default=None, help="Folder of photos.  [default: those that come with edgekit]")
@click.option("--data", type=FILE, default=None, help="Annotations of --images, for AP: COCO JSON, YOLO, ...")
@click.option("--runs", type=int, default=None, help="Timed runs of each model.  [default: 50]")
@click.option("--seconds", type=float, default=None, help="Time all models for that long, instead of --runs.")
@click.option("--batch", default=1, show_default=True, help="Photos per call: checkpoints, ONNX of that batch.")
@click.option("--streams", default=1, show_default=True, help="Also the throughput of that many sessions at once.")
@click.option("--providers", type=Names(), default=(), help="Run each ONNX file on: cpu, cuda, tensorrt.")
@click.option("--compile", "compiled", is_flag=True, help="Also run each checkpoint under torch.compile.")
@click.option("--profile", is_flag=True, help="Also time by kind of layer.")
@shared.pack_option
@shared.base_classes_option
@shared.architecture_option
@shared.settings_option
@click.option("--against", type=FILE, default=None, help="Compare with an older result of --json FILE.")
@click.option("--fail-if-slower", type=Share(), default=None, help="Exit 1 if a p50 grew by more, e.g. 5%.")
@click.option("--markdown", type=FILE, default=None, help="Write the tables to this file.")
@click.option("--html", type=FILE, default=None, help="Write a page with plots to this file.")
@shared.force_option
@shared.json_file_option
@click.pass_context
def bench_command(context: click.Context, as_json: str | None, **options: Any) -> None:
    """Measure what models cost on this device: interleaved, on the same photos.

    Exits 1 if a model could not be measured (the others are) or --fail-if-slower found one slower.
    """
    from edgekit.artifacts.outputs import check_outputs
    from edgekit.files.whole_files import output_file
    from edgekit.measurement.bench.plan import BenchOptions
    from edgekit.model.hints import CheckpointHints
    from edgekit.report.bench import bench
    from edgekit.report.bench_tables import remarks, sheets
    from edgekit.report.sheets import rich_table

    file = output_file(Path(as_json)) if as_json not in (None, "-") else None
    inputs = [*options["models"], *(options[name] for name in ("images", "data", "base_classes", "against"))]
    check_outputs([file, options["markdown"], options["html"]], inputs, options["force"])
    options["hints"] = shared.record(CheckpointHints, options)
    wanted = shared.record(BenchOptions, options)
    result = bench(options=wanted, **options, track=track)
    show(result, as_json == "-", [rich_table(sheet) for sheet in sheets(result)] if as_json != "-" else [])
    for line in remarks(result):
        click.echo(f"edgekit: {line}", err=True)
    if file is not None:
        write_json(result, file)  # last: what was measured is on the screen if this fails
    if result.failed or result.slower or result.unjudged:
        context.exit(1)

"""The command line: parse, call one function, render. The only module that prints or exits."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from edgekit import __version__
from edgekit.errors import EdgekitError

T = TypeVar("T")
FILE = click.Path(path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout, nothing else.")
generations_option = click.option(
    "--generations", type=int, default=None, help="Use the model as it was after so many adaptations."
)
best_only_option = click.option(
    "--best-only", is_flag=True, help="Drop what a better-scored detection of another generation covers."
)
skip_option = click.option("--skip-bad-images", is_flag=True, help="Name images that cannot be read and go on.")


class Size(click.ParamType):
    """HxW in pixels, as 480x640."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Parse "480x640" to (480, 640)."""
        if isinstance(value, tuple):
            return value
        height, _, width = str(value).lower().partition("x")
        if not (height.isdigit() and width.isdigit()):
            self.fail(f"{value!r} is not HEIGHTxWIDTH, as 480x640", param, ctx)
        return int(height), int(width)


class Names(click.ParamType):
    """Comma-separated names, as chicken,frog."""

    name = "a,b"

    def convert(self, value: Any, param: object, ctx: object) -> tuple[str, ...]:  # noqa: ARG002 (click's signature)
        """Split at commas, without repetitions."""
        if isinstance(value, tuple):
            return value
        return tuple(dict.fromkeys(n.strip() for n in str(value).split(",") if n.strip()))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="edgekit")
def cli() -> None:
    """Add classes to a trained Mask R-CNN or Faster R-CNN, export it for edge devices, measure what it costs.

    MODEL and BASE are a file (.safetensors, .pt, .pth, .onnx), torchvision's name of a model, as
    maskrcnn_resnet50_fpn, or "demo", the model that comes with edgekit.
    """


@cli.command()
@click.argument("base")
@click.option("--data", type=FILE, required=True, help="Annotations: COCO JSON, or a YOLO, LabelMe or VOC folder.")
@click.option("--images", type=FILE, required=True, help="Folder of the photos.")
@click.option("-o", "--output", type=FILE, required=True, help="Model to write (.safetensors; .onnx from an .onnx).")
@click.option("--classes", type=Names(), default=(), help="Classes to add.  [default: all annotated]")
@click.option("--scoring", default="exact", show_default=True, help="exact: old detections stay as they are; joint.")
@click.option("--train", default="predictors", show_default=True, help="predictors, mask or last:K layers of each.")
@click.option("--init", default="mean", show_default=True, help="New rows: mean, random, prototype or an old CLASS.")
@click.option("--epochs", default=40, show_default=True, help="Passes over the photos; 0 with prototypes is instant.")
@click.option("--lr", default=3e-3, show_default=True, help="Peak learning rate of the new rows.")
@click.option("--schedule", default="cosine", show_default=True, help="cosine or constant, after the warm-up.")
@click.option("--warm-up", default=0.05, show_default=True, help="Share of the steps the learning rate rises in.")
@click.option("--weight-decay", default=1e-4, show_default=True, help="AdamW's.")
@click.option(
    "--protect", default="l2", show_default=True, help="Old rows in joint scoring: l2, distill, frozen, none."
)
@click.option("--replay", type=FILE, default=None, help="Annotated old data to learn from too.")
@click.option("--old-objects", default="background", show_default=True, help="Unannotated old objects: or ignore.")
@click.option("--val", type=FILE, default=None, help="Annotated photos to hold out.  [default: a fifth of 20 or more]")
@click.option("--probe", type=FILE, default=None, help="Folder of photos to compare old detections on too.")
@click.option("--old-data", type=FILE, default=None, help="Annotated old data to measure the old AP on.")
@click.option("--max-old-drop", type=float, default=None, help="Fail if the old AP falls by more (in AP points).")
@click.option("--base-classes", type=FILE, default=None, help="File with the base model's class names.")
@click.option("--architecture", default=None, help="torchvision's name, where the weights fit several.")
@click.option("--size", type=Size(), default=None, help="Input height and width.  [default: the model's own]")
@click.option("--trunk", default="onnx", show_default=True, help="What runs the frozen trunk: onnx or torch.")
@click.option("--views", type=int, default=None, help="Views of each photo.  [default: 3, up to 12 of few photos]")
@click.option("--cache", type=FILE, default=None, help="Folder for trunks and features.  [default: ~/.cache/edgekit]")
@click.option("--cache-gb", default=10.0, show_default=True, help="The most the cached features may take.")
@click.option("--seed", default=0, show_default=True, help="Seed of views, split and shuffling.")
@skip_option
@json_option
def adapt(as_json: bool, **options: Any) -> None:
    """Add the classes annotated in a few photos; the old classes' detections stay as they were."""
    from edgekit.adaptation import recipes
    from edgekit.report.tables import adaptation_table

    result = recipes.adapt(**options, track=track)
    _show(result, as_json, [adaptation_table(result)] if not as_json else [])
    output = result.output
    if output.suffix == ".onnx":
        _next(as_json, f"edgekit bench {options['base']} {output}")
    else:
        _next(as_json, f"edgekit export {output} -o {output.with_suffix('.onnx')}")


@cli.command()
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
    _show(result, as_json, [export_table(result)] if not as_json else [])
    if result.format == "onnx":
        _next(as_json, f"edgekit bench {options['model']} {result.output}")


@cli.command("eval")
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
    _show(result, as_json, [evaluation_table(result)] if not as_json else [])
    for message in result.skipped:
        click.echo(f"skipped: {message}", err=True)
    if result.not_in_model:
        click.echo(f"not in the model, left out: {', '.join(result.not_in_model)}", err=True)


@cli.command()
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
    _show(rows, as_json, [prediction_table(predictions)] if not as_json else [])
    for prediction in predictions:
        if prediction.skipped:
            click.echo(f"skipped: {prediction.skipped}", err=True)
    if options["output"] is not None and not as_json:
        click.echo(f"pictures: {options['output']}")


@cli.command()
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option("--images", type=FILE, default=None, help="Folder of photos.  [default: those that come with edgekit]")
@click.option("--runs", default=50, show_default=True, help="Timed runs of each model.")
@json_option
def bench(as_json: bool, **options: Any) -> None:
    """Time models side by side: interleaved, on the same photos."""
    from edgekit.measurement import bench
    from edgekit.report.tables import latency_table

    rows = bench.bench(**options, track=track)
    _show(rows, as_json, [latency_table(rows)] if not as_json else [])


@cli.command()
@click.argument("artifact")
@json_option
def inspect(as_json: bool, **options: Any) -> None:
    """Say what a model file is."""
    from edgekit.report import inspect
    from edgekit.report.tables import inspection_table

    result = inspect.inspect(**options)
    _show(result, as_json, [inspection_table(result)] if not as_json else [])


@cli.command()
@click.option("-o", "--output", type=FILE, default=Path("demo"), show_default=True, help="Folder to write.")
@click.option("--seed", default=0, show_default=True, help="Seed of the scenes and of the training.")
@json_option
def demo(as_json: bool, **options: Any) -> None:
    """Run the whole loop on the embedded model: add two classes, export, evaluate, time, report."""
    from edgekit.demo import run_demo
    from edgekit.report.tables import demo_tables

    summary = run_demo(**options, track=track)
    _show(summary, as_json, demo_tables(summary) if not as_json else [])
    _next(as_json, f"look at {options['output'] / 'report.html'}", "next")


def track(items: Iterable[T], description: str, /) -> Iterator[T]:
    """Show on stderr how far a loop is, if stderr is a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    class Rate(ProgressColumn):
        """Items a second."""

        def render(self, task: Task) -> str:
            return f"{task.speed:.1f}/s" if task.speed else ""

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        yield from progress.track(items, description=description)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 (a user's error), 2 (usage), 3 (a bug), 130 (Ctrl-C)."""
    try:
        cli.main(args=arguments, prog_name="edgekit", standalone_mode=False)
    except EdgekitError as error:
        click.echo(f"edgekit: {error}", err=True)
        return 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("edgekit: interrupted; no output was left half-written", err=True)
        return 130
    except BrokenPipeError:
        return 1
    except Exception:
        traceback.print_exc()
        click.echo(f"edgekit {__version__}, Python {sys.version.split()[0]}: this is a bug, please report it", err=True)
        return 3
    return 0


def _show(result: Any, as_json: bool, tables: Sequence[Any]) -> None:
    """Print a result as JSON or as tables; of several processes that torchrun started, only the first does."""
    if os.environ.get("RANK", "0") != "0":
        return
    if as_json:
        click.echo(json.dumps(result, default=_plain, indent=2))
        return
    from rich.console import Console

    console = Console()
    for table in tables:
        console.print(table)


def _next(as_json: bool, command: str, word: str = "next") -> None:
    if not as_json and os.environ.get("RANK", "0") == "0":
        click.echo(f"{word}: {command}")


def _plain(value: Any) -> Any:
    """What json does not know: dataclasses and paths."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")

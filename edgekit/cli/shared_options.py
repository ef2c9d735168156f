"""Types of options, and the options that several commands have."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, TypeVar

import click

FILE = click.Path(path_type=Path)

data_option = click.option(
    "--data",
    type=FILE,
    required=True,
    help="Annotations: COCO, YOLO, LabelMe, Pascal VOC, CVAT, Label Studio, Labelbox, Supervisely or VIA.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout, nothing else.")
base_classes_option = click.option(
    "--base-classes", type=FILE, default=None, help="File with the base model's class names."
)
architecture_option = click.option(
    "--architecture", default=None, help="torchvision's name, where the weights fit several."
)
settings_option = click.option(
    "--settings", type=FILE, default=None, help="File of what the weights do not say: anchors, thresholds, ..."
)
pack_option = click.option(
    "--pack", "packs", type=FILE, multiple=True, default=(), help="Pack of further classes; may be given several times."
)
cache_option = click.option(
    "--cache", type=FILE, default=None, help="Folder for trunks and features.  [default: ~/.cache/edgekit]"
)
cache_gb_option = click.option(
    "--cache-gb", default=10.0, show_default=True, help="The most the cached features may take."
)
force_option = click.option("--force", is_flag=True, help="Replace files that edgekit did not make.")
skip_option = click.option("--skip-bad-images", is_flag=True, help="Report images that cannot be read, and go on.")
skip_annotations_option = click.option(
    "--skip-bad-annotations", is_flag=True, help="Report objects that cannot be used, and go on without them."
)
crowd_option = click.option("--crowd-as-objects", is_flag=True, help="Take what is marked iscrowd as objects.")


R = TypeVar("R")


def record(kind: type[R], options: dict[str, Any]) -> R:
    """An option record of the flat options that have its fields' names, which are taken out of ``options``."""
    return kind(**{name: options.pop(name) for name in inspect.signature(kind).parameters})


def overlaps_option(default: str) -> Any:
    """``--overlaps``; a command tells its ``default`` from the same value given."""
    text = f"one: one label per object; keep: all that is found.  [default: {default}]"
    return click.option("--overlaps", default=None, help=text)


class Size(click.ParamType):
    """HxW in pixels, e.g. 480x640."""

    name = "HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Parse "480x640" to (480, 640)."""
        if isinstance(value, tuple):
            return value
        height, _, width = str(value).lower().partition("x")
        if not (height.isdigit() and width.isdigit()):
            self.fail(f"{value!r} is not HEIGHTxWIDTH, e.g. 480x640", param, ctx)
        return int(height), int(width)


class Names(click.ParamType):
    """Comma-separated names, e.g. chicken,frog."""

    name = "a,b"

    def convert(self, value: Any, param: object, ctx: object) -> tuple[str, ...]:  # noqa: ARG002 (click's signature)
        """Split at commas, without repetitions."""
        if isinstance(value, tuple):
            return value
        return tuple(dict.fromkeys(n.strip() for n in str(value).split(",") if n.strip()))


class Share(click.ParamType):
    """A share, e.g. 5% or 0.05."""

    name = "5%"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse "5%" to 0.05."""
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = -1.0
        if not 0 <= share < float("inf"):
            self.fail(f"{value!r} is not a share, e.g. 5%", param, ctx)
        return share


class FileOrShare(Share):
    """A file, or a share of less than 100%."""

    name = "file or %"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse "20%" to 0.2 and anything else to a path."""
        if not str(value).endswith("%"):
            return Path(value)
        share = super().convert(value, param, ctx)
        if not 0 < share < 1:
            self.fail(f"{value!r} is not a share between 0% and 100%", param, ctx)
        return share


val_option = click.option(
    "--val", type=FileOrShare(), default=None, help="File or share to hold out.  [default: 20% of 100+]"
)


class JsonFile(click.ParamType):
    """A .json file to write, or - for stdout."""

    name = "FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse anything but a .json file: otherwise --json MODEL would write over the model."""
        if value != "-" and not str(value).lower().endswith(".json"):
            self.fail(f"{value!r} is not a .json file; give one, or put --json last to print on stdout", param, ctx)
        return str(value)


json_file_option = click.option(
    "--json",
    "as_json",
    type=JsonFile(),
    is_flag=False,
    flag_value="-",
    default=None,
    help="Write the whole result to this .json file; without one, print it on stdout and nothing else.",
)

"""Option types and the options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

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

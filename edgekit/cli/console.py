"""Progress on stderr; results as tables or as JSON, and the next command to try, on stdout."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

T = TypeVar("T")


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
        """Items per second."""

        def render(self, task: Task) -> str:
            return f"{task.speed:.1f}/s" if task.speed else ""

    console = Console(stderr=True)
    if not console.is_terminal:  # rich would print an empty line
        yield from items
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        yield from progress.track(items, description=description)


def say(line: str, /) -> None:
    """Print a line on stderr, while the work goes on."""
    click.echo(line, err=True)


def show(result: Any, as_json: bool, tables: Sequence[Any]) -> None:
    """Print a result as JSON or as tables."""
    if as_json:
        click.echo(json.dumps(result, default=_plain, indent=2))
        return
    from rich.console import Console

    console = Console()
    for table in tables:
        console.print(table)


def write_json(result: Any, path: Path) -> None:
    """Write a result as a JSON file, whole or not at all."""
    from edgekit.files.whole_files import write_text

    write_text(path, json.dumps(result, default=_plain, indent=1) + "\n")


def suggest(as_json: bool, command: str) -> None:
    """Print the next command to try."""
    if not as_json:
        click.echo(f"next: {command}")


def _plain(value: Any) -> Any:
    """What json does not know: dataclasses and paths."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")

"""Tables of text, and how a terminal shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True)
class Sheet:
    """A table's text; the first ``words`` columns are words, the others figures. ``styles`` are rich's, by row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    styles: tuple[str, ...] = ()


def rich_table(sheet: Sheet) -> Table:
    """A sheet for a terminal."""
    table = Table(title=escape(sheet.title), title_justify="left")
    for place, column in enumerate(sheet.columns):
        table.add_column(escape(column), justify="left" if place < sheet.words else "right", overflow="fold")
    for row, style in zip_longest(sheet.rows, sheet.styles, fillvalue=""):
        table.add_row(*map(escape, row), style=style)
    return table


def facts(title: str, rows: Iterable[tuple[str, str | None]]) -> Table:
    """A table of names and what they are, without a header; what is None is left out."""
    table = Table(title=escape(title), show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        if value is not None:
            table.add_row(escape(name), escape(value))
    return table

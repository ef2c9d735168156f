"""Files that scripts write from result files, and the check that they are up to date."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path


def write_or_check(texts: Mapping[Path, str]) -> int:
    """Write each text to its file; with ``--check`` on the command line only return 1 if a file has another, else 0."""
    if "--check" in sys.argv:
        return int(any(not path.exists() or path.read_text() != text for path, text in texts.items()))
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return 0


def lines(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    table = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return "".join("| " + " | ".join(row) + " |\n" for row in table)


def with_tables(text: str, tables: Mapping[str, str]) -> str:
    """A page's text with what stands between ``<!-- table: NAME -->`` and ``<!-- end -->`` replaced by that table."""
    for name, table in tables.items():
        start, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        before, found, rest = text.partition(start)
        if not found:
            raise ValueError(f"no marker for the table {name!r}")
        text = before + start + table + end + rest.partition(end)[2]
    return text

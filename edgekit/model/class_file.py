"""Files of class names: one name per line, lines such as "0: apple", or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from edgekit.artifacts.class_names import find_alike
from edgekit.errors import EdgekitError
from edgekit.files.reading import read_text

UNUSED = "N/A"  # the name of an id that a file leaves out, as torchvision has it for COCO's
_NUMBERED = re.compile(r"(\d+)\s*(?:[:=,;\t])\s*(.*)")
_SPACED = re.compile(r"(\d+) +(.*)")


def read_class_names(file: Path, count: int, model: Path) -> list[str]:
    """The names of the classes of ``model``, ``count`` with the background, which is left out.

    One name per line; or an id and a name, with a colon, "=", a comma, a semicolon or a tab between them; or a JSON
    list, or a JSON object of names by id. Ids count from 0 or 1; those left out get the name "N/A". Between an id and
    a name there may be blanks only if the ids are 0, 1, 2, ...
    """
    try:
        names = _parse(file, read_text(file).strip())
    except (OSError, ValueError) as error:
        raise EdgekitError(f"{file}: not readable: {error}", "give one class name per line, or a JSON list") from None
    if names and names[0].strip("_").lower() in ("background", "bg"):
        names = names[1:]
    if len(names) != count - 1:
        raise EdgekitError(
            f"{file}: names {len(names)} classes, {model} has {count - 1} and the background",
            "give one name for each label from 1 on",
        )
    twice = sorted({n for n in names if n != UNUSED and names.count(n) > 1})
    if twice:
        raise EdgekitError(f"{file}: names twice: {', '.join(twice)}", "give every class its own name")
    if alike := find_alike(names, names):
        raise EdgekitError(f"{file}: the names {alike}", "give every class its own name")
    return names


def _parse(file: Path, text: str) -> list[str]:
    if text.startswith("["):
        return [str(name) for name in json.loads(text) if str(name)]
    if text.startswith("{"):
        return _by_id(file, [(int(number), str(name)) for number, name in json.loads(text).items()])
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    rows = [_NUMBERED.fullmatch(line) for line in lines]
    if lines and all(rows):
        return _by_id(file, [(int(row[1]), _unquoted(row[2])) for row in rows if row])
    rows = [_SPACED.fullmatch(line) for line in lines]
    ids = [int(row[1]) for row in rows if row]
    if lines and ids == list(range(len(lines))):
        return [_unquoted(row[2]) for row in rows if row]
    if len(lines) > 1 and ids == list(range(1, len(lines) + 1)):
        raise EdgekitError(
            f"{file}: the lines begin with 1, 2, ...: are these ids, or parts of the names?",
            f"write ids as 1: {_unquoted(lines[0].split(maxsplit=1)[1])}, or the names as a JSON list",
        )
    return lines


def _by_id(file: Path, rows: Iterable[tuple[int, str]]) -> list[str]:
    """The names in the order of their ids, which count from 0 or 1."""
    names: dict[int, str] = {}
    for number, name in rows:
        if number in names or not name:
            raise EdgekitError(f"{file}: id {number} has {'two names' if name else 'no name'}", "give each id one name")
        names[number] = name
    if min(names, default=0) > 1:
        raise EdgekitError(f"{file}: its ids begin with {min(names)}", "count the classes from 0 or 1")
    if max(names, default=0) > 10 * len(names) + 10:
        raise EdgekitError(f"{file}: has {len(names)} names with ids up to {max(names)}", "count from 0 or 1")
    return [names.get(i, UNUSED) for i in range(min(names, default=0), max(names, default=-1) + 1)]


def _unquoted(name: str) -> str:
    """A name without the quotes that it has in YAML."""
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] and name[0] in "'\"" else name

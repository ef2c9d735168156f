"""Described calibration sets: which photos a set is, and whether those that lie there are still the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgekit.data.images import list_images
from edgekit.errors import EdgekitError
from edgekit.files.reading import read_text
from edgekit.files.whole_files import sha256, write_text

FORMAT = "edgekit calibration set 2"


@dataclass(frozen=True)
class CalibrationSet:
    """Photos in a folder, whose path is relative to the description."""

    folder: str
    images: Mapping[str, str | None]  # file name -> SHA-256; None where the bytes differ from machine to machine
    about: str = ""
    made_by: str = ""  # command that makes the photos


def read_set(path: Path) -> CalibrationSet | None:
    """Read a description; None if the file is something else, such as a calibration table."""
    try:
        found: dict[str, Any] = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise EdgekitError(
            f"{path}: is not a calibration set: {error}", "give a folder of photos or the JSON of a set"
        ) from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return None
    try:
        described = CalibrationSet(**{k: v for k, v in found.items() if k != "format"})
        if not isinstance(described.images, Mapping) or not described.images:
            raise TypeError("images are the photos' names with their SHA-256")
        if not isinstance(described.folder, str):
            raise TypeError("folder is a path")
    except TypeError as error:
        raise EdgekitError(f"{path}: a damaged calibration set: {error}", "see calibration/README.md") from None
    return described


def write_set(path: Path, described: CalibrationSet) -> None:
    """Write a description as JSON."""
    write_text(path, json.dumps({"format": FORMAT} | asdict(described), indent=1) + "\n")


def photos_of_set(described: CalibrationSet, path: Path) -> Path:
    """The folder of a set's photos, which ``path`` describes; raises EdgekitError if it holds others."""
    folder = path.parent / described.folder
    made_by = f"make them: {described.made_by}" if described.made_by else "fetch them again"
    if not folder.is_dir():
        raise EdgekitError(f"{folder}: is missing, the photos that {path} describes", made_by)
    held = {p.name: p for p in list_images(folder)}
    wrong = set(held) ^ set(described.images)
    wrong |= {n for n, digest in described.images.items() if digest and n in held and sha256(held[n]) != digest}
    if wrong:
        named = ", ".join(sorted(wrong)[:3])
        raise EdgekitError(
            f"{folder}: not the photos that {path} describes: {named}", f"{made_by}; keep no others there"
        )
    return folder

"""Which photos is a described calibration set, and are they still the same?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.artifacts import sha256, write_text
from edgekit.data.demo_sets import write_demo_set
from edgekit.data.images import list_images
from edgekit.errors import EdgekitError
from edgekit.progress import Track, silent

FORMAT = "edgekit calibration set 1"
KINDS = ("demo", "folder")


@dataclass(frozen=True)
class CalibrationSet:
    """A set of photos as data.

    ``kind`` "demo" is drawn: ``drawn`` holds ``split``, ``count`` and ``seed`` of ``write_demo_set``. "folder" lies in
    ``folder`` (relative to the description). ``images`` are the photos' names with their SHA-256.
    """

    kind: str
    images: Mapping[str, str]
    drawn: Mapping[str, Any]
    folder: str | None
    about: str = ""


def read_set(path: Path) -> CalibrationSet | None:
    """Read a description; None if the file is something else, such as a calibration table."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EdgekitError(f"{path}: no calibration set: {error}", "give a folder of photos or a set's JSON") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return None
    try:
        made = CalibrationSet(
            found["kind"], found["images"], found.get("drawn", {}), found.get("folder"), found.get("about", "")
        )
        if made.kind not in KINDS or not made.images or (made.kind == "folder" and not made.folder):
            raise ValueError(f"a set has images and a kind of {', '.join(KINDS)}; a folder's kind a folder")
        return made
    except (KeyError, ValueError) as error:
        raise EdgekitError(f"{path}: a damaged calibration set: {error}", "see calibration/README.md") from None


def write_set(path: Path, described: CalibrationSet) -> None:
    """Write a description as JSON."""
    parts = {"about": described.about, "kind": described.kind, "drawn": dict(described.drawn)}
    values = {"format": FORMAT} | parts | {"folder": described.folder, "images": dict(described.images)}
    write_text(path, json.dumps({k: v for k, v in values.items() if v}, indent=1) + "\n")


def photos_of(described: CalibrationSet, path: Path, into: Path, track: Track = silent) -> Path:
    """The folder of a set's photos, drawn to ``into`` or where they lie; raises EdgekitError if they are others.

    Drawn photos are compared by name only: another version of Pillow writes the same picture in other bytes.
    """
    if described.kind == "demo":
        drawn = described.drawn
        write_demo_set(drawn["split"], int(drawn["count"]), into, seed=int(drawn["seed"]), track=track)
        return into
    folder = path.parent / str(described.folder)
    held = {p.name: p for p in list_images(folder)}
    wrong = [n for n, digest in described.images.items() if n not in held or sha256(held[n]) != digest]
    if wrong or set(held) != set(described.images):
        named = ", ".join(sorted({*wrong, *(set(held) ^ set(described.images))})[:3])
        raise EdgekitError(
            f"{folder}: not the photos that {path} describes: {named}", "fetch them again, and no others"
        )
    return folder

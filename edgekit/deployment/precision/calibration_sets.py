"""Which photos is a described calibration set, and are they still the same?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.data.images import list_images
from edgekit.demo.photo_sets import write_demo_set
from edgekit.demo.scenes import SPLITS
from edgekit.errors import EdgekitError
from edgekit.files.reading import read_text
from edgekit.files.whole_files import sha256, write_text
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
        found: dict[str, Any] = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise EdgekitError(f"{path}: no calibration set: {error}", "give a folder of photos or a set's JSON") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return None
    try:
        made = CalibrationSet(
            found["kind"], found["images"], found.get("drawn", {}), found.get("folder"), found.get("about", "")
        )
        _check(made)
    except (KeyError, ValueError) as error:
        raise EdgekitError(f"{path}: a damaged calibration set: {error}", "see calibration/README.md") from None
    return made


def _check(described: CalibrationSet) -> None:
    """Raise ValueError for a description that names no photos."""
    if not isinstance(described.images, Mapping) or not described.images:
        raise ValueError("images are the photos' names with their SHA-256")
    if described.kind == "folder" and not isinstance(described.folder, str):
        raise ValueError("a folder's kind has a folder")
    if described.kind == "demo":
        drawn = described.drawn if isinstance(described.drawn, Mapping) else {}
        count, seed = drawn.get("count"), drawn.get("seed")
        numbers = isinstance(count, int) and isinstance(seed, int) and count > 0 and seed >= 0
        if drawn.get("split") not in (*SPLITS,) or not numbers:
            raise ValueError(f"drawn are a count, a seed and a split of {', '.join(SPLITS)}")
    if described.kind not in KINDS:
        raise ValueError(f"a set's kind is one of {', '.join(KINDS)}")


def write_set(path: Path, described: CalibrationSet) -> None:
    """Write a description as JSON."""
    parts = {"about": described.about, "kind": described.kind, "drawn": dict(described.drawn)}
    values = {"format": FORMAT} | parts | {"folder": described.folder, "images": dict(described.images)}
    write_text(path, json.dumps({k: v for k, v in values.items() if v}, indent=1) + "\n")


def photos_of(described: CalibrationSet, path: Path, into: Path, track: Track = silent) -> Path:
    """The folder of a set's photos, drawn to ``into`` or where they lie; raises EdgekitError if they are others.

    Drawn photos are compared by name only: another version of Pillow writes the same picture in other bytes.
    """
    drawn = described.drawn if described.kind == "demo" else None
    folder = into if drawn else path.parent / str(described.folder)
    if drawn:
        write_demo_set(drawn["split"], drawn["count"], into, seed=drawn["seed"], track=track)
    held = {p.name: p for p in list_images(folder)}
    wrong = [n for n in described.images if n in held and not drawn and sha256(held[n]) != described.images[n]]
    if wrong or set(held) != set(described.images):
        named = ", ".join(sorted({*wrong, *(set(held) ^ set(described.images))})[:3])
        remedy = "correct its count or its images" if drawn else "fetch them again, and no others"
        where = "what is drawn" if drawn else folder
        raise EdgekitError(f"{where}: not the photos that {path} describes: {named}", remedy)
    return folder

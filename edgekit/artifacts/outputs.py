"""Files to write: none is an input, and none that edgekit did not make is replaced without ``--force``."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgekit.artifacts.model_names import EMBEDDED
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256

MARK = "edgekit"
TEXT_MARK = "Written by edgekit"  # in a comment on the first line of Markdown and of Triton's configuration
HEAD_BYTES = 4096
# How a file that edgekit made begins; what has another beginning is somebody else's.
HEADS = (
    rb"\{\s*\"(format|made_by)\": \"edgekit",  # JSON
    rb"(<!--|#) Written by edgekit",
    rb"<!doctype html>.*<meta name=\"generator\" content=\"edgekit",
    rb"\x89PNG.*tEXtSoftware\0edgekit",
    rb"\xff\xd8.*\xff\xfe\x00\x09edgekit",  # JPEG's comment
    rb".{8}\{\"__metadata__\":\{\"edgekit",  # safetensors
    rb"\x08.\x12\x07edgekit",  # ONNX: its producer, after the version of its format
)
MADE = re.compile(b"|".join(HEADS), re.DOTALL)


def check_outputs(outputs: Iterable[Path | None], inputs: Iterable[Any], force: bool) -> None:
    """Raise EdgekitError for an output that is an input, and without ``force`` for one that edgekit did not make.

    ``inputs`` are files and folders, of which all files count; what is not a path (None, a share) is left out. Links
    are followed. To be called before any long work.
    """
    wanted = [path for path in outputs if path is not None]
    given = [EMBEDDED.get(str(i), Path(i)) for i in inputs if isinstance(i, (str, Path))]
    given = [path for path in given if path.exists()]
    for place, output in enumerate(wanted):
        if output.absolute() in [other.absolute() for other in wanted[:place]]:
            raise EdgekitError(f"{output}: is to be written twice", "give each output another name")
        if output.exists():
            _check_input(output, given)
        if os.path.lexists(output) and not output.is_dir() and not force and not made_here(output):
            raise EdgekitError(
                f"{output}: exists, and nothing in it says that edgekit made it",
                "give another name, or replace it with --force",
            )


def made_here(path: Path) -> bool:
    """Whether a file says that edgekit made it; of an engine, whether the description beside it is of these bytes.

    JSON lines, videos and whatever edgekit does not write cannot say so.
    """
    try:
        if path.suffix.lower() == ".engine":
            return _described(path)
        if zipfile.is_zipfile(path):  # what torch.save writes
            with zipfile.ZipFile(path) as archive:
                return archive.comment == MARK.encode()
        with path.open("rb") as file:
            return MADE.match(file.read(HEAD_BYTES)) is not None
    except (OSError, zipfile.BadZipFile):
        return False


def _described(engine: Path) -> bool:
    sidecar = engine.with_name(f"{engine.name}.json")
    return made_here(sidecar) and sha256(engine) in sidecar.read_text(encoding="utf-8", errors="replace")


def _check_input(output: Path, given: list[Path]) -> None:
    """Raise if an output that exists is an input, or a file of a folder that is one and not edgekit's own."""
    for path in given:
        if path.samefile(output):
            raise EdgekitError(f"{output}: is the input {path}, which is never written onto", "give another name")
    if output.is_dir() or made_here(output):
        return
    status = output.stat()
    for file in _files_in(given):
        if (file.st_dev, file.st_ino) == (status.st_dev, status.st_ino):
            raise EdgekitError(f"{output}: is among the inputs, which are never written onto", "give another name")


def _files_in(given: list[Path]) -> Iterator[os.stat_result]:
    """What the system knows of each file in the folders among ``given``."""
    for folder in given:
        for parent, _, names in os.walk(folder):
            for name in names:
                if os.path.exists(file := os.path.join(parent, name)):
                    yield os.stat(file)

"""Files: read whole by their digest, written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgekit.errors import EdgekitError


def sha256(path: Path) -> str:
    """The file's SHA-256 in hex; raises EdgekitError if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:  # a link to nothing, a folder, no rights
        raise EdgekitError(f"{path}: cannot be read: {error.strerror or error}", "replace or remove it") from None
    return digest.hexdigest()


def output_folder(folder: Path) -> Path:
    """Make a folder to write into, or say why that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise EdgekitError(f"{folder}: cannot be written: {error.strerror or error}", "choose another folder") from None
    return folder


def output_file(path: Path) -> Path:
    """Make the folder of a file to write, or say why it cannot be written."""
    output_folder(path.parent)
    if path.is_dir():
        raise EdgekitError(f"{path}: is a folder", "give the name of the file to write")
    return path


@contextlib.contextmanager
def writing(path: Path, remedy: str = "free space or change -o") -> Iterator[None]:
    """Whatever keeps the block from writing ``path``, as an EdgekitError that names it."""
    try:
        yield
    except OSError as error:
        raise EdgekitError(f"{path}: cannot be written: {error.strerror or error}", remedy) from error


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that is renamed to it when the block ends well and removed when it fails."""
    output_file(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        with writing(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def default_cache() -> Path:
    """``$EDGEKIT_CACHE``, else ``edgekit`` in the user's cache folder (``$XDG_CACHE_HOME`` or ``~/.cache``)."""
    if own := os.environ.get("EDGEKIT_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgekit"

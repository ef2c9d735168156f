"""Files: read whole by their digest, written whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import hashlib
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from edgekit.errors import EdgekitError

STAGING = re.compile(r"\.edgekit-(\d+)-[0-9a-f]+\.partial")  # a temporary folder's name, with its process
UNLOCKED = 60.0  # seconds for which a live process's temporary folder may be without its lock
SAME_FOLDER, EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux's renameat2


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
def staging(folder: Path) -> Iterator[Path]:
    """A temporary folder in ``folder`` for what is to be renamed into it; removed at the end, whatever happens.

    It is locked while this process lives. What a killed process left is not, and is removed by the next that writes
    into ``folder``.
    """
    output_folder(folder)
    _remove_leftovers(folder.resolve())
    temporary = folder / f".edgekit-{os.getpid()}-{secrets.token_hex(8)}.partial"
    with writing(folder, "free space or choose another folder"):
        temporary.mkdir()
        lock = os.open(temporary, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(lock)


@functools.cache  # once per process and folder: a cache writes thousands of files into one
def _remove_leftovers(folder: Path) -> None:
    """Remove the temporary folders of processes that are no more."""
    for path in folder.iterdir():
        found = STAGING.fullmatch(path.name)
        if found and _abandoned(path, int(found[1])):
            shutil.rmtree(path, ignore_errors=True)


def _abandoned(temporary: Path, process: int) -> bool:
    """Whether the process that made a temporary folder has ended; its number may be another's by now."""
    try:
        fresh = time.time() - temporary.stat().st_mtime < UNLOCKED
        lock = os.open(temporary, os.O_RDONLY)
    except OSError:  # another process removed it, or it is another user's
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return not _lives(process)
    finally:
        os.close(lock)
    return not (fresh and _lives(process))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def place(made: Path, path: Path) -> None:
    """Rename a finished file or folder to ``path``; its bytes are on the disk before it has that name.

    A file that is there is replaced. So is a folder, at once where the file system can exchange two names.
    """
    for inner in (made, *made.rglob("*")) if made.is_dir() else (made,):
        _sync(inner)
    if made.is_dir() and path.is_dir():
        if not _exchanged(made, path):
            os.rename(path, made.with_name(f"{made.name}.replaced"))
            os.rename(made, path)
    else:
        os.replace(made, path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Have the disk hold what a file or folder holds."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not every file system can do it for folders
            raise
    finally:
        os.close(handle)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders' names at once; False where the system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    return rename is not None and not rename(SAME_FOLDER, bytes(one), SAME_FOLDER, bytes(other), EXCHANGE)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path that is renamed to ``path`` when the block ends well and removed when it fails."""
    output_file(path)
    with staging(path.parent) as folder, writing(path):
        yield folder / path.name
        place(folder / path.name, path)


@contextlib.contextmanager
def staged(*outputs: Path) -> Iterator[Path]:
    """A folder in which to make files of one folder that belong together, under their own names.

    When the block ends well they take their places: first those that are not among ``outputs``, then these in order.
    When it fails what was there stays, and the error names the files by the places that they were for.
    """
    for output in outputs:
        output_file(output)
    home, order = outputs[0].parent, [output.name for output in outputs]
    with staging(home) as folder:
        try:
            yield folder
        except EdgekitError as error:
            texts = (text.replace(f"{folder}/", f"{home}/") for text in (error.message, error.hint))
            raise EdgekitError(*texts) from error
        made = sorted(folder.iterdir(), key=lambda p: (order.index(p.name) if p.name in order else -1, p.name))
        for path in made:
            output_file(home / path.name)
        for path in made:
            with writing(home / path.name):
                place(path, home / path.name)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def default_cache() -> Path:
    """``$EDGEKIT_CACHE``, else ``edgekit`` in the user's cache folder (``$XDG_CACHE_HOME`` or ``~/.cache``)."""
    if own := os.environ.get("EDGEKIT_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgekit"

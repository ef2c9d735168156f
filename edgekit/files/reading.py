"""The user's files as they are read: text in any Unicode encoding, folders without what is hidden or not a file."""

from __future__ import annotations

import codecs
import stat
from collections.abc import Iterable
from pathlib import Path

from edgekit.errors import EdgekitError

# Folders that operating systems, archives and file servers put beside the user's own.
SYSTEM_FOLDERS = ("__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found")
# UTF-32's mark of little-endian text begins with UTF-16's, so it comes first.
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
SPECIAL = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def refuse_special(path: Path) -> None:
    """Raise where a path is a folder, named pipe, socket or device: opening a pipe may wait for ever."""
    try:
        what = SPECIAL.get(stat.S_IFMT(path.stat().st_mode))
    except (OSError, ValueError):  # whoever opens it says why that cannot be; ValueError: a zero byte in the name
        return
    if what is not None:
        raise EdgekitError(f"{path}: is {what}, not a file", "give a regular file")


def check_folder(path: Path, remedy: str) -> None:
    """Raise where a path is not a folder."""
    if not path.is_dir():
        raise EdgekitError(f"{path}: {'is not a folder' if path.exists() else 'no such folder'}", remedy)


def read_text(path: Path) -> str:
    """A text file in UTF-8, or in UTF-16 or UTF-32 with a byte-order mark, which is left out.

    Raises EdgekitError for other encodings and for what is not a file, OSError as ``open`` does.
    """
    refuse_special(path)
    data = path.read_bytes()
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise EdgekitError(
            f"{path}: is not {encoding.removesuffix('-sig').upper()} text (byte {error.start})", "save it as UTF-8"
        ) from None
    if "\0" in text:
        raise EdgekitError(f"{path}: holds zero bytes, as UTF-16 without a mark does", "save it as UTF-8")
    return text


def list_files(folder: Path, suffixes: Iterable[str], deep: bool = False) -> list[Path]:
    """The files of a folder, and with ``deep`` of those in it, that end in one of ``suffixes`` (".jpg"), by name.

    Left out are hidden files and folders, those of ``SYSTEM_FOLDERS``, and folders, pipes, sockets and devices that
    are named as files are. A link to nothing is listed: whoever reads it names it.
    """
    endings = tuple(suffixes)
    found: list[Path] = []
    try:
        for path in folder.iterdir():
            if path.name.startswith(".") or path.name.lower() in SYSTEM_FOLDERS:
                continue
            if path.is_dir():
                found += list_files(path, endings, deep) if deep and not path.is_symlink() else []
            elif path.suffix.lower() in endings and (path.is_file() or not path.exists()):
                found.append(path)
    except OSError as error:
        raise EdgekitError(f"{folder}: cannot be read: {error.strerror or error}", "check its rights") from None
    return sorted(found)

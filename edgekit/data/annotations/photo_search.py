"""Where the photos are that annotation files name, however they write it."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from edgekit.data.images import SUFFIXES
from edgekit.errors import EdgekitError
from edgekit.files.reading import SYSTEM_FOLDERS, refuse_special

UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")  # Label Studio's name of an uploaded file
_SUFFIX = re.compile(r"\.[A-Za-z]{3,4}")

Parts = tuple[str, ...]


@dataclass(frozen=True)
class NotFound:
    """A photo that was not found, and why; ``several`` files may fit its name."""

    detail: str
    several: bool = False


def find_photos(names: Sequence[str], folders: Sequence[Path]) -> list[Path | NotFound]:
    """The files of all names, in the first of the folders that has them all, or else in the one that has most.

    It is one folder, because a photo of the same name in another may be another photo. Names may be paths of any
    system or URLs; leading folders, the case of the suffix and which suffix of ``SUFFIXES`` it is may differ, and
    letters may be composed or not (NFC, NFD). What leads out of a folder is looked up in it by its last part. Each
    folder is listed once; the folders in it only where a name is not right where it says. Linked folders are not
    entered.
    """
    wanted = [name_parts(name) for name in names]
    listings = [_Listing(folder) for folder in folders]
    ways: tuple[Callable[[_Listing, Parts], Path | NotFound | None], ...] = (
        _Listing.as_named,
        _Listing.without_leading,
        _Listing.anywhere,
    )
    best: list[Path | NotFound | None] = []
    for way in ways:
        found = [[way(listing, parts) for parts in wanted] for listing in listings]
        best = min(found, key=_lacking)
        if not _lacking(best):
            break
    lost = _lacking(best)
    share = f"{lost} of {len(names)} are missing" if lost else ""
    return [
        item if isinstance(item, Path) else _missing(item, parts, folders, share)
        for item, parts in zip(best, wanted, strict=True)
    ]


def name_parts(name: str) -> Parts:
    """The folders and the file of a name, whichever slashes it has; ``..`` above its first folder is left out."""
    text = name.strip()
    if "://" in text or text.startswith("/data/"):  # a URL, or Label Studio's path of one
        url = urlsplit(text)
        given = parse_qs(url.query).get("d", [""])[0]  # of its local files
        text = given or unquote(url.path)
    parts: list[str] = []
    for part in text.replace("\\", "/").split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", "..") and not (part.endswith(":") and not parts):
            parts.append(unicodedata.normalize("NFC", part))
    return tuple(parts)


def _lacking(found: Sequence[Path | NotFound | None]) -> int:
    return sum(not isinstance(item, Path) for item in found)


def _missing(item: Path | NotFound | None, parts: Parts, folders: Sequence[Path], share: str) -> NotFound:
    if isinstance(item, NotFound):
        return item
    for folder in folders:
        if parts and "\0" not in parts[-1]:
            try:
                refuse_special(folder.joinpath(*parts))
            except EdgekitError as error:
                return NotFound(error.message)
    tried = " and ".join(dict.fromkeys(["/".join(parts), *parts[-1:]]))
    where = ", nor in ".join(map(str, folders))
    return NotFound(f"looked for {tried}, also with other image suffixes, in {where}; {share}")


def _key(name: str) -> str:
    """A name as it is compared: composed letters, the suffix in lower case."""
    stem, suffix = _split(unicodedata.normalize("NFC", name))
    return stem + suffix.lower()


def _split(name: str) -> tuple[str, str]:
    stem, suffix = os.path.splitext(name)
    return (stem, suffix) if _SUFFIX.fullmatch(suffix) else (name, "")


class _Listing:
    """The files of a folder, listed as far as they are asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folders: dict[Parts, dict[str, list[str]]] = {}
        self.all: dict[str, list[Parts]] | None = None

    def as_named(self, parts: Parts) -> Path | None:
        """The file that is just there, but for its suffix's case."""
        if not parts:
            return None
        names = self._names(parts[:-1]).get(_key(parts[-1]), [])
        if len(names) == 1:
            return self.root.joinpath(*parts[:-1], names[0])
        return self.root.joinpath(*parts) if parts[-1] in names else None

    def without_leading(self, parts: Parts) -> Path | None:
        """The same, with as many of the leading folders left out as need be."""
        tries = (self.as_named(parts[first:]) for first in range(len(parts)))
        return next((found for found in tries if found), None)

    def anywhere(self, parts: Parts) -> Path | NotFound | None:
        """The file in any folder, with any image suffix, with or without Label Studio's prefix."""
        found = self.without_leading(parts)
        if found or not parts:
            return found
        everything = self._everything()
        uploaded = UPLOADED.fullmatch(parts[-1])
        for name in (parts[-1], *([uploaded[1]] if uploaded else [])):
            for key in (_key(name), _split(name)[0] + "."):
                if options := everything.get(key):
                    return self._nearest((*parts[:-1], name), options)
        return None

    def _nearest(self, parts: Parts, options: list[Parts]) -> Path | NotFound:
        """The file whose folders agree with most of those that are named, if it is one."""
        root = self.root.absolute().parts

        def agreeing(option: Parts) -> int:
            pairs = zip(reversed(parts[:-1]), reversed((*root, *option[:-1])), strict=False)
            return next((i for i, (a, b) in enumerate(pairs) if a != unicodedata.normalize("NFC", b)), len(parts))

        most = max(map(agreeing, options))
        nearest = [option for option in options if agreeing(option) == most]
        if len(nearest) > 1:
            shown = " and ".join("/".join(option) for option in nearest[:2])
            return NotFound(f"{len(nearest)} files in {self.root} do, {shown} among them", several=True)
        return self.root.joinpath(*nearest[0])

    def _names(self, folder: Parts) -> dict[str, list[str]]:
        """The names of the files right in a folder, by their key."""
        if folder not in self.folders:
            here = self.root.joinpath(*folder)
            is_within = not folder or here.resolve() == self.root.resolve().joinpath(*folder)
            by_key = self.folders[folder] = {}
            for name in _files(here) if is_within else ():
                by_key.setdefault(_key(name), []).append(name)
        return self.folders[folder]

    def _everything(self) -> dict[str, list[Parts]]:
        """The files in all folders by the key of their name, photos also by their stem and a dot."""
        if self.all is None:
            self.all = {}
            for here, folders, _ in os.walk(self.root):
                folders[:] = [f for f in folders if not f.startswith(".") and f.lower() not in SYSTEM_FOLDERS]
                folder = Path(here).relative_to(self.root).parts
                for key, names in self._names(folder).items():
                    self.all.setdefault(key, []).extend((*folder, name) for name in names)
                    stem, suffix = _split(key)
                    if suffix in SUFFIXES:
                        self.all.setdefault(f"{stem}.", []).extend((*folder, name) for name in names)
        return self.all


def _files(folder: Path) -> list[str]:
    """The names of the regular files of a folder, also of links to such; none where it is no folder."""
    try:
        with os.scandir(folder) as entries:
            return [e.name for e in entries if not e.name.startswith(".") and e.is_file()]
    except (OSError, ValueError):
        return []

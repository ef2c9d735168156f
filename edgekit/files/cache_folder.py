"""Caches on disk: entries that carry the SHA-256 of their files, bounded in bytes, the least recently used go first."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256, staging, writing

DIGESTS = "sha256.json"  # in each entry: file name -> SHA-256
KEPT_SHARE = 0.9  # of the limit, once it is passed: measuring all entries again for each new one would take long


@dataclass
class CacheFolder:
    """Entries by key in a folder; an entry is a folder of files that appears whole or not at all.

    Other processes may add and remove entries at the same time. Of what else lies in the folder nothing is touched.
    """

    folder: Path
    limit_gb: float  # 1e9 bytes
    used: set[str] = field(default_factory=set)  # keys of this run, which are never removed to make room
    remedy: str | None = None  # where this run's entries need more than the limit; None lets them have it
    _free: float = -1  # bytes that may be added before the entries are measured again

    def find(self, key: str) -> Path | None:
        """The folder of a sound entry, which is then kept for this run; a damaged one is removed."""
        entry = self.folder / key
        if not _sound(entry):
            _remove(entry)
            return None
        self.used.add(key)
        with contextlib.suppress(OSError):  # a folder that may only be read, or another process removed it
            os.utime(entry)
        return entry

    @contextlib.contextmanager
    def adding(self, key: str) -> Iterator[Path]:
        """A temporary folder for an entry's files, which takes the entry's place when the block ends well."""
        entry = self.folder / key
        with (
            staging(self.folder) as temporary,
            writing(self.folder, "free space or choose another folder for the cache"),
        ):
            made = temporary / key
            made.mkdir()
            yield made
            (made / DIGESTS).write_text(json.dumps(_digests(made), indent=1))
            self._make_room(_size(made))
            _remove(entry)
            try:
                made.rename(entry)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another process made the same entry meanwhile
                    raise
            self.used.add(key)

    def add(self, key: str, make: Callable[[Path], None]) -> Path:
        """Add the entry whose files ``make`` writes into a folder, and return the entry's own."""
        with self.adding(key) as temporary:
            make(temporary)
        return self.folder / key

    def _make_room(self, size: int) -> None:
        """Remove entries that this run has not used until ``size`` bytes more fit."""
        if size > self._free:
            limit, entries = self.limit_gb * 1e9, self._by_age()
            total = size + sum(length for _, length in entries)
            kept = limit if total <= limit else KEPT_SHARE * limit
            for entry, length in entries:
                if total > kept and entry.name not in self.used:
                    _remove(entry)
                    total -= length
            if total > limit and self.remedy is not None:
                raise EdgekitError(
                    f"{self.folder}: this run's entries need more than {self.limit_gb:g} GB", self.remedy
                )
            self._free = size + max(0, limit - total) / 2  # half of it, since other processes add entries too
        self._free -= size

    def _by_age(self) -> list[tuple[Path, int]]:
        """All entries with their sizes in bytes, the least recently used first."""
        found = []
        for entry in self.folder.iterdir():
            with contextlib.suppress(OSError):  # another process removed it
                if (entry / DIGESTS).is_file():
                    found.append((entry.stat().st_mtime, entry, _size(entry)))
        return [(entry, size) for _, entry, size in sorted(found)]


def entry_sha256(entry: Path) -> str:
    """A digest of all bytes of an entry that ``CacheFolder.find`` returned."""
    return sha256(entry / DIGESTS)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.iterdir() if p.name != DIGESTS)
    return {file.name: sha256(file) for file in files}


def _sound(entry: Path) -> bool:
    """Whether an entry holds the files that were put into it, byte for byte, and no others."""
    try:
        return bool(json.loads((entry / DIGESTS).read_bytes()) == _digests(entry))
    except (EdgekitError, OSError, ValueError):
        return False


def _size(entry: Path) -> int:
    return sum(file.stat().st_size for file in entry.iterdir())


def _remove(entry: Path) -> None:
    """Remove an entry at once, so that no process finds half of it."""
    if not entry.exists():
        return
    # Another process removes it, or the folder may only be read.
    with contextlib.suppress(OSError, EdgekitError), staging(entry.parent) as gone:
        entry.rename(gone / entry.name)

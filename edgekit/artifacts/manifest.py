"""Models in parts: a folder with the base model's graphs, those of installed packs, and a manifest of them all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edgekit.artifacts.metadata import ModelMeta
from edgekit.errors import EdgekitError
from edgekit.files.reading import read_text
from edgekit.files.whole_files import sha256

MANIFEST, LOCK = "manifest.json", ".lock"
FORMAT = "edgekit parts 1"
AGAIN = "copy the whole folder again, or export it again"
# The base model's files. Heads and masks are graphs for so many boxes; the number is part of the name.
BASE, BOX_HEAD, CHOOSE = "base.onnx", "box_head.onnx", "choose.onnx"
WEIGHTS, PREDICTORS = "base.weights", "predictors.safetensors"


def engine_of(graph: str) -> str:
    """The engine's file of a graph's file."""
    return graph.removesuffix(".onnx") + ".engine"


def mask_head(slots: int) -> str:
    """The graph of the mask head for ``slots`` boxes."""
    return f"mask_head-{slots}.onnx"


def masks(slots: int) -> str:
    """The graph of the base model's mask predictor for ``slots`` boxes."""
    return f"masks-{slots}.onnx"


@dataclass(frozen=True)
class InstalledPack:
    """A pack in a folder: its name, the digest of what is in it, the pack itself and all its files with theirs."""

    name: str
    sha256: str
    pack: str
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def detect(self) -> str:
        """The graph of its detections."""
        return str(Path(self.pack).with_suffix(".onnx"))

    def masks(self, slots: int) -> str:
        """The graph of its masks for ``slots`` boxes."""
        return str(Path(self.pack).with_suffix(f".masks-{slots}.onnx"))


@dataclass(frozen=True)
class Manifest:
    """What is in a folder: the base model ``meta`` (without packs), its files' SHA-256 by name, and the packs.

    ``slots`` are the numbers of boxes that there are mask graphs for; none in a Faster R-CNN. ``overlaps`` is how
    detections of one object are treated where nothing else is asked for. ``engine`` is how the engine of each graph was
    built (the fields of ``EngineOptions``), None where there are none.
    """

    meta: ModelMeta
    files: Mapping[str, str]
    slots: tuple[int, ...] = ()
    packs: tuple[InstalledPack, ...] = ()
    overlaps: str = "keep"
    engine: Mapping[str, Any] | None = None

    @property
    def base_sha256(self) -> str:
        """The digest of all of the base model's files, in hex."""
        return hashlib.sha256(json.dumps(sorted(self.files.items())).encode()).hexdigest()

    @property
    def all_files(self) -> list[tuple[str, str]]:
        """The names of the base model's files and those of all packs, each with its SHA-256."""
        return [file for files in (self.files, *(pack.files for pack in self.packs)) for file in files.items()]

    def find(self, name: str, folder: Path) -> InstalledPack:
        """The installed pack of a name; raises EdgekitError if there is none."""
        for pack in self.packs:
            if pack.name == name:
                return pack
        known = ", ".join(p.name for p in self.packs) or "none"
        raise EdgekitError(f"{folder}: no pack {name} is installed", f"installed are: {known}")

    def without(self, name: str) -> Manifest:
        """The manifest without a pack."""
        return replace(self, packs=tuple(pack for pack in self.packs if pack.name != name))


def is_parts(path: Path) -> bool:
    """Whether a path is a folder of a model in parts."""
    return (path / MANIFEST).is_file()


def model_sha256(path: Path) -> str:
    """The digest of a model's file or, of one in parts, of its manifest, which holds those of all its files."""
    return sha256(path / MANIFEST if path.is_dir() else path)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest to ``path``; its folder must hold the files."""
    values = {"format": FORMAT, **asdict(manifest)}
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder, without looking at the files it names (see ``check_files``)."""
    path = folder / MANIFEST
    try:
        values = json.loads(read_text(path))
        if values.pop("format") != FORMAT:
            raise EdgekitError(f"{path}: is not of this edgekit's format", "update edgekit, or export it again")
        values["meta"] = ModelMeta.from_json(json.dumps(values["meta"]), path)
        values["packs"] = tuple(InstalledPack(**pack) for pack in values["packs"])
        values["slots"] = tuple(int(slots) for slots in values["slots"])
        manifest = Manifest(**values)
        _check_names(manifest)
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise EdgekitError(f"{path}: is damaged: {error}", AGAIN) from None
    return manifest


def check_files(folder: Path, manifest: Manifest) -> None:
    """Raise EdgekitError if one of a folder's files is missing, not the one that belongs there, or elsewhere."""
    home = folder.resolve()
    for name, digest in manifest.all_files:
        path = folder / name
        if not path.is_file():
            raise EdgekitError(f"{path}: is missing", AGAIN)
        if not path.resolve().is_relative_to(home):
            raise EdgekitError(f"{path}: lies outside of the folder, through a link", AGAIN)
        if sha256(path) != digest:
            raise EdgekitError(f"{path}: is not the file that {MANIFEST} names (other SHA-256)", AGAIN)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from changing a folder; raises EdgekitError if one is at it."""
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise EdgekitError(
            f"{folder}: cannot be changed: {error.strerror or error}", "check the folder's permissions"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise EdgekitError(f"{folder}: another process is changing it", "wait until that is done") from None
    finally:
        os.close(lock)


def _check_names(manifest: Manifest) -> None:
    """Raise ValueError if a file is named that would lie elsewhere than in the folder, or one that is not listed."""
    for name, _ in manifest.all_files:
        if not name or name.startswith(("/", ".")) or ".." in Path(name).parts or "\\" in name:
            raise ValueError(f"it names a file elsewhere: {name!r}")
    needed = [BASE, *(name for slots in manifest.slots for name in (mask_head(slots), masks(slots)))]
    own = [(name, manifest.files) for name in needed]
    for pack in manifest.packs:
        names = (pack.pack, pack.detect, *map(pack.masks, manifest.slots))
        own += [(name, pack.files) for name in names]
    for name, files in own:
        if name not in files:
            raise ValueError(f"it lists no {name}")

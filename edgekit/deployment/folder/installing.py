"""Packs in a model's folder: installed and removed in place, in seconds, without PyTorch."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.artifacts.manifest import (
    MANIFEST,
    InstalledPack,
    Manifest,
    check_files,
    is_parts,
    locked,
    read_manifest,
    write_manifest,
)
from edgekit.artifacts.pack_files import SUFFIX, Pack, combined, ordered, read_installed, read_packs, write_pack
from edgekit.artifacts.value_names import logits_of
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import place, sha256, staging, writing
from edgekit.progress import Track, silent

PACKS = "packs"  # the folder in a model's folder
NAMED = 12  # digits of a pack's digest in its files' names
OWN_FILES = re.compile(rf".+-[0-9a-f]{{{NAMED}}}(\.masks-\d+)?\.(onnx|pack|engine(\.json)?)")


@dataclass(frozen=True)
class Installation:
    """What ``install`` or ``remove`` changed, and the packs that are installed now."""

    folder: Path
    changed: tuple[str, ...]
    installed: tuple[str, ...]
    classes: tuple[str, ...]  # of all packs
    megabytes: float  # of what was written
    seconds: float


def install(
    packs: str | Path | Sequence[str | Path], folder: str | Path, force: bool = False, track: Track = silent
) -> Installation:
    """Install packs into a model's folder; whatever fails, the folder stays as it is.

    In a folder with engines, those of the packs are built too. ``force`` takes packs that were trained on features of
    another precision.
    """
    began = time.monotonic()
    folder = _checked(folder)
    read = read_packs([packs] if isinstance(packs, (str, Path)) else packs)
    with locked(folder):
        manifest = read_manifest(folder)
        check_files(folder, manifest)
        grown, written = with_packs_installed(folder, manifest, read, force, track)
        remove_unnamed(folder, grown)
    return _installation(folder, [p.name for p in read], grown, written, began)


def remove(name: str, folder: str | Path) -> Installation:
    """Remove a pack from a model's folder; whatever fails, the folder stays as it is."""
    began = time.monotonic()
    folder = _checked(folder)
    with locked(folder):
        manifest = read_manifest(folder)
        gone = manifest.find(name, folder)
        for pack in read_installed(folder, manifest):
            if any(p.sha256 == gone.sha256 for p in pack.parents):
                raise EdgekitError(
                    f"{folder}: pack {pack.name} was trained on top of {name}", f"remove {pack.name} first"
                )
        left = manifest.without(name)
        with staging(folder) as temporary, writing(folder / MANIFEST):
            _put_manifest(temporary, folder, left)
        remove_unnamed(folder, left)
    return _installation(folder, [name], left, 0.0, began)


def with_packs_installed(
    folder: Path, manifest: Manifest, packs: Sequence[Pack], force: bool = False, track: Track = silent
) -> tuple[Manifest, float]:
    """The manifest with packs, whose files are in ``folder`` then, and how many megabytes these take.

    Nothing that was there changes but, at last, the manifest.
    """
    there = read_installed(folder, manifest)
    for place_given, pack in enumerate(packs):
        if pack.name in [installed.name for installed in there]:
            raise EdgekitError(
                f"pack {pack.name}: a pack of this name is installed", f"edgekit remove {pack.name} {folder} first"
            )
        if pack.name in [other.name for other in packs[:place_given]]:
            raise EdgekitError(f"pack {pack.name}: is given twice", "give each pack once, under a name of its own")
    grown_meta = combined(manifest.meta, there, folder, force=True)  # what fits was decided when it was installed
    combined(grown_meta, packs, folder, force)
    classes = {pack.sha256: len(pack.classes) for pack in (*there, *packs)}
    with staging(folder) as temporary, writing(folder, "free space"):
        made: list[InstalledPack] = []
        for pack in ordered([*there, *packs]):
            if pack in packs:
                parents = {logits_of(p.sha256): classes[p.sha256] for p in pack.parents}
                made.append(_write(temporary, folder, pack, parents, manifest, track))
        grown = replace(manifest, packs=(*manifest.packs, *made))
        names = [name for pack in made for name in pack.files]
        megabytes = sum((temporary / name).stat().st_size for name in names) / 1e6
        (folder / PACKS).mkdir(exist_ok=True)
        for name in names:
            place(temporary / name, folder / name)
        _put_manifest(temporary, folder, grown)
    return grown, megabytes


def remove_unnamed(folder: Path, manifest: Manifest) -> None:
    """Remove packs' files that the manifest does not name (any more); what an installation did not write stays."""
    named = {name for pack in manifest.packs for name in pack.files}
    for path in (folder / PACKS).glob("*"):
        if f"{PACKS}/{path.name}" not in named and OWN_FILES.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _write(
    temporary: Path, folder: Path, pack: Pack, parents: dict[str, int], manifest: Manifest, track: Track
) -> InstalledPack:
    """Write a pack's files under ``temporary`` as they are to lie in ``folder``."""
    import onnx  # here, since it takes longer than removing a pack

    from edgekit.graphs.pack_parts import pack_graphs

    graphs = pack_graphs(folder, pack.tensors, parents, manifest.slots)
    readable = re.sub(r"[^\w.-]", "_", pack.name)
    entry = InstalledPack(pack.name, pack.sha256, f"{PACKS}/{readable}-{pack.sha256[:NAMED]}{SUFFIX}")
    (temporary / PACKS).mkdir(exist_ok=True)
    write_pack(temporary / entry.pack, pack)
    onnx.save(graphs.detect, temporary / entry.detect)
    for count, graph in graphs.masks.items():
        onnx.save(graph, temporary / entry.masks(count))
    names = [entry.pack, entry.detect, *map(entry.masks, manifest.slots)]
    if manifest.engine is not None:
        from edgekit.deployment.folder.engines import build_engines, options_of

        names += build_engines(temporary, names[1:], manifest.meta, options_of(manifest.engine), track)
    return replace(entry, files={name: sha256(temporary / name) for name in names})


def _put_manifest(temporary: Path, folder: Path, manifest: Manifest) -> None:
    write_manifest(temporary / MANIFEST, manifest)
    place(temporary / MANIFEST, folder / MANIFEST)


def _checked(path: str | Path) -> Path:
    folder = Path(path)
    if not is_parts(folder):
        raise EdgekitError(f"{folder}: is not the folder of a model", "make one with: edgekit export MODEL -o FOLDER/")
    return folder


def _installation(
    folder: Path, changed: Sequence[str], manifest: Manifest, megabytes: float, began: float
) -> Installation:
    packs = read_installed(folder, manifest)
    return Installation(
        folder=folder,
        changed=tuple(changed),
        installed=tuple(pack.name for pack in packs),
        classes=tuple(name for pack in packs for name in pack.classes),
        megabytes=round(megabytes, 3),
        seconds=round(time.monotonic() - began, 2),
    )

"""What a pack is, and what is in the folder of a model in parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.artifacts.manifest import Manifest, check_files, read_manifest
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.pack_files import Pack, Parent, combined, read_installed, read_pack
from edgekit.errors import EdgekitError


@dataclass(frozen=True)
class PackInspection:
    """A pack's size, its classes (``refines``: those that the model had before) and what they belong to.

    ``base`` is the fingerprint of its base model, ``precision`` that of the features it was trained on, ``sha256`` the
    digest of what is in it. ``old_detections`` is what its proof says, None without one.
    """

    artifact: Path
    kind: str
    megabytes: float
    sha256: str
    parameters: int
    classes: tuple[str, ...]
    refines: tuple[str, ...]
    architecture: str
    base: str
    precision: str
    parents: tuple[Parent, ...]
    old_detections: str | None
    training: Mapping[str, Any]
    versions: Mapping[str, str]


def inspect_pack(path: Path) -> PackInspection:
    """Read a pack, which is refused if it is damaged."""
    pack = read_pack(path)
    return PackInspection(
        artifact=path,
        kind="pack",
        megabytes=round(path.stat().st_size / 1e6, 3),
        sha256=pack.sha256,
        parameters=sum(tensor.size for tensor in pack.tensors.values()),
        classes=pack.classes,
        refines=pack.refines,
        architecture=pack.architecture,
        base=pack.base,
        precision=pack.precision,
        parents=pack.parents,
        old_detections=_proven_by_itself(path, pack),
        training=pack.training,
        versions=pack.versions,
    )


def parts_details(folder: Path) -> tuple[Manifest, ModelMeta, dict[str, Any]]:
    """A folder's manifest, what the model with its packs is, and more of it, once all its digests were checked."""
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    packs = read_installed(folder, manifest)
    details: dict[str, Any] = {
        "base model": f"{megabytes_of(folder, manifest.files)} MB, in {len(manifest.files)} files"
    }
    for entry, pack in zip(manifest.packs, packs, strict=True):
        details[f"pack {entry.name}"] = {
            "classes": list(pack.classes),
            "megabytes": megabytes_of(folder, entry.files),
            "sha256": entry.sha256,
            "trained on": f"{pack.precision} features",
            "on top of": [parent.name for parent in pack.parents],
        }
    details["files"] = "all are those that the manifest names (SHA-256)"
    details["overlaps"] = manifest.overlaps
    return manifest, combined(manifest.meta, packs, folder, force=True), details


def megabytes_of(folder: Path, names: Iterable[str]) -> float:
    """The size of some of a folder's files."""
    return round(sum((folder / name).stat().st_size for name in names) / 1e6, 3)


def _proven_by_itself(path: Path, pack: Pack) -> str | None:
    """What the proof in a pack says; raises EdgekitError for that of another pack."""
    if not pack.proof:
        return None
    try:
        other, kept = pack.proof["model_sha256"] != pack.sha256, pack.proof["retention"]
        found = f"{kept['changed']} of {kept['compared']} changed on {kept['images']} photos"
    except (TypeError, KeyError) as error:
        raise EdgekitError(f"{path}: its proof is damaged: {error}", "copy it again, or adapt again") from None
    if other:
        raise EdgekitError(f"{path}: holds the proof of another pack", "copy it again, or adapt again")
    return found

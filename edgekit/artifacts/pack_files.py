"""Packs: what one adaptation learned, as a small file beside a base model that is never rewritten."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifacts.class_names import find_alike
from edgekit.artifacts.manifest import AGAIN as COPY_AGAIN
from edgekit.artifacts.manifest import Manifest
from edgekit.artifacts.metadata import METADATA_KEY, ModelMeta, PackRecord
from edgekit.artifacts.safetensors_files import parse_safetensors, tensors_sha256, write_with_metadata
from edgekit.errors import EdgekitError

SUFFIX = ".pack"
FORMAT = "edgekit pack 1"
SHOWN = 12  # digits of a fingerprint in a message
# Features of these precisions differ by rounding only; those of int8 are further away from both.
CLOSE = ("fp32", "fp16")


@dataclass(frozen=True)
class Parent:
    """A pack that another one was trained on top of: its name, and the SHA-256 of what is in it."""

    name: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Pack:
    """The rows and hidden layers of the classes that one adaptation added, and what they belong to.

    ``tensors`` are named as in ``model.predictors.Generation``. ``base`` is the fingerprint of the model it was trained
    on (``model.checkpoint.fingerprint``), ``input_size`` (height, width) and ``precision`` are those of that model's
    features. ``refines`` are those of its classes that the model had before. ``proof`` and ``training`` say how it was
    made.
    """

    name: str
    classes: tuple[str, ...]
    base: str
    tensors: Mapping[str, np.ndarray]
    input_size: tuple[int, int]
    architecture: str = ""
    precision: str = "fp32"
    parents: tuple[Parent, ...] = ()
    refines: tuple[str, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    proof: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def sha256(self) -> str:
        """The digest of all that decides what it detects."""
        about = json.dumps([self.classes, self.base, self.input_size, self.precision, [p.sha256 for p in self.parents]])
        return tensors_sha256(self.tensors, about)

    @property
    def megabytes(self) -> float:
        """The size of its tensors."""
        return sum(t.nbytes for t in self.tensors.values()) / 1e6


def is_pack(path: Path) -> bool:
    """Whether a file's name is a pack's."""
    return path.suffix.lower() == SUFFIX


def write_pack(path: Path, pack: Pack) -> None:
    """Write a pack as safetensors, whole or not at all."""
    about = {
        "format": FORMAT,
        "name": pack.name,
        "classes": pack.classes,
        "refines": pack.refines,
        "base": pack.base,
        "input_size": pack.input_size,
        "architecture": pack.architecture,
        "precision": pack.precision,
        "parents": [vars(parent) for parent in pack.parents],
        "sha256": pack.sha256,
        "training": pack.training,
        "versions": pack.versions,
        "proof": pack.proof,
    }
    write_with_metadata(path, pack.tensors, {METADATA_KEY: json.dumps(about, default=str)})


def read_pack(path: Path) -> Pack:
    """Read what ``write_pack`` wrote; its name is the file's."""
    if not path.is_file():
        raise EdgekitError(f"{path}: no such file", "give a pack that edgekit adapt wrote")
    tensors, text = parse_safetensors(path)
    try:
        about = json.loads(text or "{}")
        if about.pop("format", None) != FORMAT:
            raise EdgekitError(f"{path}: is not a pack of this edgekit's format", "update edgekit, or adapt again")
        said = about.pop("sha256")
        parents = tuple(Parent(str(p["name"]), str(p["sha256"])) for p in about.pop("parents"))
        classes = tuple(str(name) for name in about.pop("classes"))
        height, width = (int(side) for side in about.pop("input_size"))
        about |= {"name": path.stem, "input_size": (height, width), "refines": tuple(about["refines"])}
        pack = Pack(tensors=tensors, classes=classes, parents=parents, **about)
        _check_shapes(pack)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EdgekitError(f"{path}: its description is damaged: {error}", "copy it again, or adapt again") from None
    if pack.sha256 != said:
        raise EdgekitError(f"{path}: is damaged (other SHA-256 than its own)", "copy it again, or adapt again")
    return pack


def read_packs(paths: Iterable[str | Path]) -> list[Pack]:
    """The packs of several files."""
    return [read_pack(Path(path)) for path in paths]


def read_installed(folder: Path, manifest: Manifest, names: Collection[str] | None = None) -> list[Pack]:
    """The packs installed in a folder, by default all, in their order."""
    found = []
    for entry in manifest.packs if names is None else [manifest.find(name, folder) for name in names]:
        pack = replace(read_pack(folder / entry.pack), name=entry.name)
        if pack.sha256 != entry.sha256:
            raise EdgekitError(f"{folder / entry.pack}: is not the pack {entry.name} that was installed", COPY_AGAIN)
        found.append(pack)
    return found


def ordered(packs: Sequence[Pack], built_in: Sequence[PackRecord] = ()) -> list[Pack]:
    """Packs in the order given, but each after those that it was trained on top of.

    ``built_in`` are those that the model has already. Raises EdgekitError if one of these is missing, or given twice.
    """
    done = {record.sha256 for record in built_in}
    known = done | {pack.sha256 for pack in packs}
    waiting, result = list(packs), list[Pack]()
    for place, pack in enumerate(packs):
        if pack.sha256 in done or pack.sha256 in [other.sha256 for other in packs[:place]]:
            raise EdgekitError(f"pack {pack.name}: is there twice", "give it once")
        if missing := [p for p in pack.parents if p.sha256 not in known]:
            raise EdgekitError(
                f"pack {pack.name}: was trained on top of {missing[0].name}, which is not here",
                f"give {missing[0].name}{SUFFIX} too",
            )
    while waiting:
        ready = next((p for p in waiting if all(q.sha256 in done for q in p.parents)), None)
        if ready is None:
            raise EdgekitError(f"pack {waiting[0].name}: its parents need it in turn", "adapt again")
        waiting.remove(ready)
        done.add(ready.sha256)
        result.append(ready)
    return result


def input_size_with(packs: Sequence[Pack], meta: ModelMeta, size: tuple[int, int] | None = None) -> tuple[int, int]:
    """The input size of a model that can run at any: the one asked for, else that of the features that its packs were
    trained on, else its own."""
    return size or (packs[0].input_size if packs else meta.input_size)


def check_fits(pack: Pack, meta: ModelMeta, source: Path, force: bool = False) -> None:
    """Raise EdgekitError if a pack was trained on another model than ``source``, or, without ``force``, on features of
    another input size or precision, or if the model has one of the classes it adds, or lacks one it refines."""
    if not meta.fingerprint:
        raise EdgekitError(f"{source}: does not say which base model it is", "export it again with this edgekit")
    if pack.base != meta.fingerprint:
        raise EdgekitError(
            f"pack {pack.name}: was trained on the model {pack.base[:SHOWN]}; {source} is {meta.fingerprint[:SHOWN]}",
            "use it with the base model it was trained on, or adapt this one",
        )
    if not force and pack.precision != meta.precision and not {pack.precision, meta.precision} <= set(CLOSE):
        raise EdgekitError(
            f"pack {pack.name}: was trained on {pack.precision} features, and {source} computes {meta.precision}",
            f"adapt {source} itself, or install the pack into a folder with --force",
        )
    if not force and pack.input_size != meta.input_size:
        (height, width), (h, w) = pack.input_size, meta.input_size
        raise EdgekitError(
            f"pack {pack.name}: was trained with an input of {height}x{width}, and {source} has one of {h}x{w}",
            f"adapt again with --size {h}x{w}, export with --size {height}x{width}, or install the pack with --force",
        )
    by_packs = {record.number: f"pack {record.name}" for record in meta.packs}
    for number, classes in enumerate(meta.generations):
        owner = by_packs.get(number, source)
        remedy = "omit one of these packs" if number in by_packs else "omit the pack"
        if had := [name for name in pack.classes if name in classes and name not in pack.refines]:
            raise EdgekitError(f"pack {pack.name}: {owner} already has the class {had[0]}", remedy)
        if alike := find_alike(pack.classes, classes):
            raise EdgekitError(f"pack {pack.name}: its classes and those of {owner}: {alike}", remedy)
    if lacking := [name for name in pack.refines if name not in meta.categories]:
        raise EdgekitError(
            f"pack {pack.name}: refines the class {lacking[0]}, which {source} does not have",
            "give the base model the class names that the pack was trained with",
        )


def combined(meta: ModelMeta, packs: Sequence[Pack], source: Path, force: bool = False) -> ModelMeta:
    """The metadata of the model ``source`` with packs, in their order (see ``ordered``)."""
    grown = meta.as_base()
    numbers = {record.sha256: record.number for record in grown.packs}
    own = tuple(n for n in range(1, len(grown.generations)) if n not in numbers.values())  # part of the base model
    for pack in ordered(packs, grown.packs):
        check_fits(pack, grown, source, force)
        numbers[pack.sha256] = len(grown.generations)
        record = PackRecord(pack.name, pack.sha256, numbers[pack.sha256])
        grown = grown.with_generation(pack.classes, (*own, *(numbers[p.sha256] for p in pack.parents)))
        grown = replace(grown, packs=(*grown.packs, record))
    return grown


def _check_shapes(pack: Pack) -> None:
    """Raise ValueError if the tensors are not those of so many classes, or if it refines a class that it lacks."""
    count = len(pack.classes)
    if other := [name for name in pack.refines if name not in pack.classes]:
        raise ValueError(f"it has no class {other[0]} to refine")
    for name, rows in (("cls_score.weight", count), ("bbox_pred.weight", 4 * count), ("bbox_pred.bias", 4 * count)):
        if name not in pack.tensors or len(pack.tensors[name]) != rows:
            raise ValueError(f"{name} does not have {rows} rows")

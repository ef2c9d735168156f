"""Which classes an adaptation teaches: new ones, and those that the model has and is to learn more of."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from edgekit.artifacts.class_names import find_alike
from edgekit.artifacts.metadata import ModelMeta
from edgekit.data.annotations.dataset import Dataset
from edgekit.errors import EdgekitError


def choose_classes(
    dataset: Dataset, classes: Sequence[str], improve: Sequence[str], meta: ModelMeta, joint: bool
) -> tuple[str, ...]:
    """The classes to teach, in the file's order: those asked for, by default all that are annotated.

    Raises EdgekitError for a class that the file lacks, for one to ``improve`` that the model ``meta`` lacks, and for
    one that the model has but that nobody asked for.
    """
    wanted, known = {*classes, *improve}, meta.categories[1:]
    for name in improve:
        if name not in known:
            raise EdgekitError(f"--improve {name}: the base model has no class {name}", _remedy(name, known))
    for name in (*classes, *improve):
        if name not in dataset.categories:
            raise EdgekitError(
                f"class {name}: not annotated in {dataset.file}", f"its classes are {', '.join(dataset.categories)}"
            )
    annotated = {a.category for p in dataset.photos for a in p.annotations}
    taught = tuple(c for c in dataset.categories if (c in wanted if wanted else c in annotated))
    had = [c for c in taught if c in known]
    if had and joint:
        raise EdgekitError(
            f"class {had[0]}: {_owner(had[0], meta)} already has it, and joint scoring trains its rows without being "
            "asked to",
            "name new classes only with --classes, or use --scoring exact",
        )
    if had and not wanted:
        fresh = ",".join(c for c in taught if c not in had)
        others = f", or pick the others: --classes {fresh}" if fresh else ""
        raise EdgekitError(
            f"class {had[0]}: {_owner(had[0], meta)} already has it",
            f"to teach it more from these photos: --improve {','.join(had)}{others}",
        )
    if alike := find_alike(taught, known):
        raise EdgekitError(
            f"{dataset.file}: its classes and the base model's: {alike}",
            "if it is the same class, omit it with --classes; if it is another, rename it",
        )
    return taught


def _remedy(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name.casefold(), [other.casefold() for other in known])
    named = [other for other in known if other.casefold() in near]
    meant = f"did you mean {' or '.join(named)}?" if named else f"it has {', '.join(known[:8])}{_more(known)}."
    return f"{meant} A new class is added with --classes {name}"


def _more(known: Sequence[str]) -> str:
    return ", ..." if len(known) > 8 else ""


def _owner(name: str, meta: ModelMeta) -> str:
    """What has a class: a pack, or the base model."""
    number = next(number for number, classes in enumerate(meta.generations) if name in classes)
    return next((f"pack {record.name}" for record in meta.packs if record.number == number), "the base model")

"""The default recipe: add classes to a model, prove that the old ones did not change, write the result."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from edgekit.adaptation.features import extract
from edgekit.adaptation.training import Losses, train
from edgekit.artifacts import ModelMeta, atomic_path, output_folder, resolve, sha256, tool_versions, write_text
from edgekit.data.coco import Dataset, Photo, read_dataset, readable
from edgekit.errors import EdgekitError
from edgekit.measurement.compare import Retention, retention
from edgekit.model.checkpoint import load_model, new_generation, save_model
from edgekit.progress import Track, silent
from edgekit.runtime.session import detect
from edgekit.runtime.torch_session import TorchSession

VIEWS = 3  # of each photo, the plain one included


@dataclass(frozen=True)
class Adaptation:
    """What ``adapt`` made, what it cost, and what became of the earlier classes."""

    output: Path
    classes: tuple[str, ...]
    photos: int
    objects: dict[str, int]  # annotated objects by new class
    epochs: int
    lr: float
    seed: int
    feature_seconds: float
    training_seconds: float
    proof_seconds: float
    losses: tuple[Losses, ...]
    retention: Retention
    skipped: tuple[str, ...]


def adapt(
    base: str | Path,
    data: Path,
    images: Path,
    output: Path,
    classes: tuple[str, ...] = (),
    epochs: int = 40,
    lr: float = 1e-2,
    seed: int = 0,
    skip_bad_images: bool = False,
    track: Track = silent,
) -> Adaptation:
    """Add the classes annotated in a COCO JSON file to a checkpoint and write the larger model to ``output``.

    ``classes`` picks some of the file's categories (default: all that have objects). Only the new classes' predictor
    rows train, on RoI features that the frozen trunk computes once. Afterwards base and adapted model both run on
    every photo; raises EdgekitError, and writes nothing, if any earlier detection changed. The comparison is written
    beside the output as ``*.retention.json``.
    """
    if epochs < 1 or lr <= 0:
        raise EdgekitError(f"--epochs {epochs} --lr {lr}: nothing would be learned", "give numbers above 0")
    if output.suffix != ".safetensors":
        raise EdgekitError(f"{output}: an adapted model is a .safetensors file", "change the name given with -o")
    source = resolve(base)
    module, meta = load_model(source)
    if meta.scoring != "exact":
        raise EdgekitError(f"{source}: is scored jointly over all classes", "adapt the model it was made from")
    dataset = read_dataset(data, images)
    output_folder(output.absolute().parent)
    added = _new_classes(dataset, classes, meta)
    photos, skipped = readable(dataset.photos, skip_bad_images)
    objects = _count_objects(dataset, photos, added)

    torch.manual_seed(seed)
    began = time.monotonic()
    features = extract(module, photos, added, meta.input_size, VIEWS, seed, track)
    extracted = time.monotonic()
    generation = new_generation(module, len(added))
    losses = train(module, generation, features, epochs, lr, seed, track)
    trained = time.monotonic()
    del features

    module.added.append(generation)
    settings = {"epochs": epochs, "lr": lr, "seed": seed, "photos": len(photos), "objects": objects}
    adapted_meta = dataclasses.replace(
        meta,
        generations=(*meta.generations, added),
        precision="fp32",
        parent_sha256=sha256(source),
        versions=tool_versions(),
        training=dict(meta.training) | {f"generation {len(meta.generations)}": settings},
    )
    with atomic_path(output.absolute()) as temporary:
        save_model(temporary, module, adapted_meta)
        proof = _prove(source, temporary, photos, len(meta.categories), track)
        if proof.changed:
            raise EdgekitError(
                f"{output}: {proof.changed} of {proof.compared} earlier detections changed; nothing was written",
                "this breaks edgekit's promise: please report it with `edgekit inspect` of the base model",
            )
        report = {
            "base": str(base),
            "parent_sha256": adapted_meta.parent_sha256,
            "retention": dataclasses.asdict(proof),
            "settings": settings,
            "versions": dict(adapted_meta.versions),
        }
        write_text(output.absolute().with_suffix(".retention.json"), json.dumps(report, indent=2) + "\n")
    return Adaptation(
        output=output,
        classes=added,
        photos=len(photos),
        objects=objects,
        epochs=epochs,
        lr=lr,
        seed=seed,
        feature_seconds=round(extracted - began, 2),
        training_seconds=round(trained - extracted, 2),
        proof_seconds=round(time.monotonic() - trained, 2),
        losses=tuple(losses),
        retention=proof,
        skipped=tuple(skipped),
    )


def _new_classes(dataset: Dataset, wanted: tuple[str, ...], meta: ModelMeta) -> tuple[str, ...]:
    """The classes to add, in the file's order; raises for those the model has or the file lacks."""
    annotated = {a.category for p in dataset.photos for a in p.annotations}
    for name in wanted:
        if name not in dataset.categories:
            raise EdgekitError(
                f"class {name}: not annotated in {dataset.file}", f"its classes are {', '.join(dataset.categories)}"
            )
    added = tuple(c for c in dataset.categories if (c in wanted if wanted else c in annotated))
    known = [c for c in added if c in meta.categories]
    if known:
        fresh = ",".join(c for c in added if c not in known)
        advice = f"pick the others: --classes {fresh}" if fresh else "nothing is left to add"
        raise EdgekitError(f"class {known[0]}: the base model already has it", advice)
    return added


def _count_objects(dataset: Dataset, photos: list[Photo], classes: tuple[str, ...]) -> dict[str, int]:
    """How many objects of each class there are; raises where one has none or lacks its mask."""
    counts = dict.fromkeys(classes, 0)
    for photo in photos:
        for item in photo.annotations:
            if item.category in counts and not item.iscrowd:
                if item.segmentation is None:
                    raise EdgekitError(
                        f"{photo.path}: an object of class {item.category} has a box but no mask in {dataset.file}",
                        "a Mask R-CNN learns from masks: annotate polygons or RLE",
                    )
                counts[item.category] += 1
    for name, count in counts.items():
        if not count:
            raise EdgekitError(f"class {name}: has no annotated object in {dataset.file}", "annotate a few")
    return counts


def _prove(base: Path, adapted: Path, photos: list[Photo], old_labels: int, track: Track) -> Retention:
    """Run both files on the photos, from scratch, and compare the earlier classes' detections."""
    before, after = TorchSession.load(base), TorchSession.load(adapted)
    pairs = ((detect(before, p.read()), detect(after, p.read())) for p in track(photos, "comparing old detections"))
    return retention(pairs, old_labels)

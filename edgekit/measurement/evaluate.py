"""Average precision by COCO's protocol, old and new classes apart."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifacts.class_names import find_alike
from edgekit.artifacts.metadata import ModelMeta
from edgekit.data.annotations.dataset import Dataset, Photo
from edgekit.data.annotations.formats import read_dataset
from edgekit.data.annotations.usable import readable
from edgekit.data.detections import Detections
from edgekit.errors import EdgekitError
from edgekit.model.hints import CheckpointHints
from edgekit.progress import Track, silent
from edgekit.runtime.opening import open_session
from edgekit.runtime.selection import Selection
from edgekit.runtime.session import Session, detect


@dataclass(frozen=True)
class Precision:
    """AP over IoU 0.50:0.95 and at 0.50, both in 0..1."""

    AP: float
    AP50: float


@dataclass(frozen=True)
class Part:
    """The mean over some classes, by boxes and (None where nothing has masks) by masks."""

    box: Precision
    mask: Precision | None


@dataclass(frozen=True)
class Evaluation:
    """COCO AP of all classes, of the base model's, of those added since (None if there are none), and of each."""

    box: Precision
    mask: Precision | None
    old: Part | None
    new: Part | None
    per_class: dict[str, Part]
    images: int
    objects: int
    not_in_model: tuple[str, ...]  # classes annotated but unknown to the model, left out of all figures
    skipped: tuple[str, ...]  # photos that could not be read


def evaluate(
    model: str | Path,
    data: str | Path,
    images: str | Path,
    selection: Selection = Selection(),
    hints: CheckpointHints = CheckpointHints(),
    skip_bad_images: bool = False,
    track: Track = silent,
) -> Evaluation:
    """Run a model on annotated photos and return its AP.

    ``data`` are annotations in any format that edgekit reads, ``images`` is the folder of the photos. Classes are
    matched by name. ``selection`` and ``hints`` are those of ``open_session``.
    """
    session = open_session(model, selection, hints)
    dataset, skipped = read_annotated(Path(data), Path(images), skip_bad_images)
    return replace(evaluate_session(session, dataset, Path(model).name, track), skipped=skipped)


def read_annotated(data: Path, images: Path, skip_bad_images: bool = False) -> tuple[Dataset, tuple[str, ...]]:
    """Annotated photos, all of which can be read, and what is wrong with those left out."""
    dataset = read_dataset(data, images)
    photos, skipped = readable(dataset.photos, skip_bad_images)
    return replace(dataset, photos=tuple(photos)), tuple(skipped)


def evaluate_session(session: Session, dataset: Dataset, name: str, track: Track) -> Evaluation:
    """The AP of an open session; ``name`` is shown with the progress."""
    found = [detect(session, photo.read()) for photo in track(dataset.photos, f"evaluating {name}")]
    return score(dataset, dataset.photos, found, session.meta)


def score(dataset: Dataset, photos: Sequence[Photo], found: Sequence[Detections], meta: ModelMeta) -> Evaluation:
    """The AP of detections already made, one ``Detections`` per photo."""
    known = _known_classes(dataset, photos, meta)
    truth = [
        {"image_id": p.id, "category_id": meta.categories.index(a.category), "bbox": list(a.bbox), "area": a.area}
        | {"iscrowd": int(a.iscrowd), "segmentation": a.segmentation}
        for p in photos
        for a in p.annotations
        if a.category in known
    ]
    rows = [
        row | {"image_id": p.id, "iscrowd": 0, "area": row["bbox"][2] * row["bbox"][3]}
        for p, d in zip(photos, found, strict=True)
        for row in d.to_coco(meta.categories)
        if row["category"] in known
    ]
    has_masks = all(t["segmentation"] for t in truth) and all(d.masks.shape[-1] for d in found)
    if not has_masks:  # pycocotools refuses a None
        truth = [{k: v for k, v in t.items() if k != "segmentation"} for t in truth]
    ids = [meta.categories.index(c) for c in known]
    boxes = _average_precision(truth, rows, photos, ids, "bbox")
    masks = _average_precision(truth, rows, photos, ids, "segm") if has_masks else None

    def part(names: Sequence[str]) -> Part | None:
        chosen = [known.index(n) for n in names if n in known]
        if not chosen or not np.isfinite(boxes[chosen]).any():
            return None
        return Part(_mean(boxes[chosen]), _mean(masks[chosen]) if masks is not None else None)

    total = part(known)
    if total is None:
        raise EdgekitError(f"{dataset.file}: annotates no object of the model's classes", "give photos that show some")
    return Evaluation(
        box=total.box,
        mask=total.mask,
        old=part(meta.old_classes),
        new=part(meta.new_classes),
        per_class={name: p for name in known if (p := part([name]))},
        images=len(photos),
        objects=len(truth),
        not_in_model=tuple(c for c in dataset.categories if c not in known),
        skipped=(),
    )


def _known_classes(dataset: Dataset, photos: Sequence[Photo], meta: ModelMeta) -> list[str]:
    """The annotated classes that the model has; raises where there are none, or one is nearly named as the model's."""
    known = [c for c in dataset.categories if c in meta.categories]
    annotated = {a.category for p in photos for a in p.annotations}
    if alike := find_alike(sorted(annotated - set(known)), meta.categories):
        raise EdgekitError(
            f"{dataset.file}: its classes and the model's: {alike}", "rename it in the annotations, as the model has it"
        )
    if not known:
        raise EdgekitError(
            f"{dataset.file}: none of its classes is one of the model's",
            f"it annotates {', '.join(dataset.categories)}; compare with: edgekit inspect MODEL",
        )
    return known


def _mean(per_class: np.ndarray) -> Precision:
    """The mean over classes [C, 2] that have objects."""
    return Precision(*(float(v) for v in np.nanmean(per_class, axis=0)))


def _average_precision(
    truth: list[dict[str, Any]], rows: list[dict[str, Any]], photos: Sequence[Photo], ids: list[int], kind: str
) -> np.ndarray:
    """AP and AP50 of each category: [C, 2], NaN for one without objects."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images = [{"id": p.id, "height": p.height, "width": p.width} for p in photos]
    categories = [{"id": i} for i in ids]
    with contextlib.redirect_stdout(io.StringIO()):
        sides = COCO(), COCO()
        for side, items in zip(sides, (truth, rows), strict=True):
            numbered = [copy.deepcopy(item) | {"id": i} for i, item in enumerate(items, start=1)]
            side.dataset = {"images": images, "categories": categories, "annotations": numbered}
            side.createIndex()
        evaluation = COCOeval(*sides, kind)
        evaluation.params.catIds = ids
        evaluation.evaluate()
        evaluation.accumulate()
    # precision [IoU thresholds, recalls, categories, areas, detection limits]; -1 marks a category without objects.
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    precision = np.where(precision < 0, np.nan, precision)
    with np.errstate(invalid="ignore"):
        means = np.stack([np.mean(precision, axis=(0, 1)), np.mean(precision[0], axis=0)], axis=1)
    return means[np.searchsorted(np.unique(ids), ids)]  # COCOeval sorts the categories

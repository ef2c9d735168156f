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
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.dataset import Dataset, Photo
from edgekit.data.annotations.faults import Faults, ReadingOptions
from edgekit.data.annotations.formats import collect_dataset
from edgekit.data.annotations.usable import readable
from edgekit.data.detections import Detections
from edgekit.errors import EdgekitError
from edgekit.model.hints import CheckpointHints
from edgekit.progress import Say, Track, silent, unsaid
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
    """COCO AP of all classes, of the base model's, of those added since (None if there are none), and of each.

    The masks' AP is over the objects that have masks.
    """

    box: Precision
    mask: Precision | None
    old: Part | None
    new: Part | None
    per_class: dict[str, Part]
    images: int
    objects: int
    not_in_model: tuple[str, ...]  # classes annotated but unknown to the model, left out of all figures
    repaired: dict[str, int]  # what in the annotations, by kind
    skipped: tuple[str, ...]  # photos and objects that were left out


def evaluate(
    model: str | Path,
    data: str | Path,
    images: str | Path,
    selection: Selection = Selection(),
    hints: CheckpointHints = CheckpointHints(),
    reading: ReadingOptions = ReadingOptions(),
    track: Track = silent,
    say: Say = unsaid,
) -> Evaluation:
    """Run a model on annotated photos and return its AP.

    ``data`` are annotations in any format that edgekit reads, ``images`` is the folder of the photos. Classes are
    matched by name. ``selection`` and ``hints`` are those of ``open_session``. ``say`` is told, before the model runs,
    what was repaired in the annotations or left out.
    """
    session = open_session(model, selection, hints)
    faults = Faults(reading)
    dataset = read_annotated(Path(data), Path(images), faults)
    for line in faults.lines():
        say(line)
    result = evaluate_session(session, dataset, Path(model).name, track)
    return replace(result, repaired=faults.repaired(), skipped=faults.left_out())


def read_annotated(data: Path, images: Path, faults: Faults) -> Dataset:
    """Annotated photos, all of which can be read; what was repaired or left out goes to the faults."""
    dataset = collect_dataset(AnnotationSource(data, (images,)), faults)
    faults.raise_refused()
    photos = readable(dataset.photos, faults)
    faults.raise_refused()
    return replace(dataset, photos=tuple(photos))


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
    has_masks = any(t["segmentation"] for t in truth) and all(d.masks.shape[-1] for d in found)
    ids = [meta.categories.index(c) for c in known]
    boxes = _average_precision([t | {"segmentation": []} for t in truth], rows, photos, ids, "bbox")
    masks = _average_precision([_outlined(t) for t in truth], rows, photos, ids, "segm") if has_masks else None

    def part(names: Sequence[str]) -> Part | None:
        chosen = [known.index(n) for n in names if n in known]
        if not chosen or not np.isfinite(boxes[chosen]).any():
            return None
        outlined = masks is not None and np.isfinite(masks[chosen]).any()
        return Part(_mean(boxes[chosen]), _mean(masks[chosen]) if masks is not None and outlined else None)

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
        repaired={},
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


def _outlined(truth: dict[str, Any]) -> dict[str, Any]:
    """An object for the masks' AP: one without a mask is a crowd region there, in which nothing counts as wrong."""
    if truth["segmentation"]:
        return truth
    x, y, w, h = truth["bbox"]
    return truth | {"iscrowd": 1, "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]]}


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

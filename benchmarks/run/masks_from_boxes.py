"""Masks from boxes: how near made masks are to the truth, and what is learned from them.

    python -m benchmarks.run.masks_from_boxes --work /tmp/masks --output benchmarks/results/masks_from_boxes.json

"made masks": masks of the objects of ../shared/real/everyday's tigers and turtles, which its base model does not know,
and of ../shared/real/microcontrollers, by several methods. "adaptation": AP of tiger and turtle learned from 30 photos
with true masks, with boxes only, and with boxes taken for masks. "boxes only": box AP of chickens and frogs, of which
no mask is known, added to the base model and to the same model without its mask branch. Run again, it goes on where it
stopped. --photos, --epochs and --seeds make a trial run short.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import edgekit
from benchmarks.lib.mask_methods import BY_BASE, grab_cut, pasted
from benchmarks.lib.paths import SHARED
from benchmarks.lib.sections import Row, Section
from benchmarks.run.overlaps import (
    EVERYDAY,
    EVERYDAY_CLASSES,
    Case,
    only_new,
    real_photos,
    some_photos,
)
from edgekit.adaptation.bases import open_base
from edgekit.adaptation.features.feature_cache import FeatureStore
from edgekit.adaptation.learning.learning_options import Learning
from edgekit.adaptation.mask_making.base_masks import MaskMaker, box_masks
from edgekit.adaptation.mask_making.boxes_only import trusted
from edgekit.artifacts.detector_settings import FROM_SHAPES
from edgekit.artifacts.safetensors_files import parse_safetensors, write_with_metadata
from edgekit.data.annotations.coco import write_dataset
from edgekit.data.annotations.dataset import Annotation, Dataset, Photo
from edgekit.data.annotations.formats import read_dataset
from edgekit.data.detections import rle
from edgekit.measurement.evaluate import evaluate_session
from edgekit.model.checkpoint import read_checkpoint
from edgekit.model.hints import CheckpointHints
from edgekit.progress import silent
from edgekit.runtime.opening import open_session
from edgekit.runtime.selection import Selection

REAL = SHARED / "real"
BASE = EVERYDAY / "base_11_classes.safetensors"
NAMES = EVERYDAY / "base_11_classes.txt"
HINTS = CheckpointHints(NAMES, "maskrcnn_mobilenet_v2_fpn")
MADE_PHOTOS = 100  # whose masks are compared with the truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for data, models and features")
    parser.add_argument("--output", type=Path, required=True, help="result file to write (.json)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--photos", type=int, default=None, help="test photos of each case (default: all)")
    parser.add_argument("--epochs", type=int, default=Learning().epochs)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for name in args.sections:
        SECTIONS[name](args)


def made_masks(args: argparse.Namespace) -> None:
    """The IoU of made masks with the true ones."""
    section = Section(args.output, "made masks", {"photos": args.photos or MADE_PHOTOS})
    everyday = read_dataset(EVERYDAY / "instances_train.json", EVERYDAY / "images")
    boards = REAL / "microcontrollers"
    sets = {"tiger, turtle": everyday, "microcontrollers": read_dataset(boards / "train.json", boards / "images")}
    for name, dataset in sets.items():
        classes = EVERYDAY_CLASSES if dataset is everyday else dataset.categories
        shown = [only_new(p, classes) for p in dataset.photos]
        chosen = dataclasses.replace(dataset, photos=tuple(p for p in shown if p.annotations))
        photos = some_photos(chosen, args.photos or MADE_PHOTOS).photos
        section.row(name, lambda photos=photos: ious(photos, args.work))  # type: ignore[misc]


def ious(photos: tuple[Photo, ...], work: Path) -> Row:
    """By method: the mean IoU, and the share of objects with an IoU of at least 0.5; of those trusted too."""
    base = open_base(BASE, (), HINTS)
    maker = MaskMaker(base.trunk("onnx", work / "cache", silent), base.predictors, base.meta.input_size)
    found: dict[str, list[float]] = {name: [] for name in (*BY_BASE, "GrabCut", "GrabCut of filling classes")}
    good: list[bool] = []
    for photo in photos:
        items = [a for a in photo.annotations if not a.iscrowd]
        boxes = np.array([a.bbox for a in items])
        boxes[:, 2:] += boxes[:, :2]
        pixels, size = photo.read(), (photo.height, photo.width)
        logits = maker.logits(pixels, boxes)
        masks = {name: method(logits) for name, method in BY_BASE.items()}
        good += trusted(box_masks(*logits)).tolist()
        for i, item in enumerate(items):
            made = {name: pasted(m[i], boxes[i], size) for name, m in masks.items()}
            made["GrabCut"] = grab_cut(pixels, boxes[i])
            made["GrabCut of filling classes"] = grab_cut(pixels, boxes[i], masks["filling classes"][i])
            for name, mask in made.items():
                found[name].append(float((mask & item.mask()).sum() / (mask | item.mask()).sum()))
    used = np.array(found["filling classes"])[good]
    return {"objects": len(good), "trusted": sum(good), "filling classes, trusted": figures(used)} | {
        name: figures(np.array(values)) for name, values in found.items()
    }


def figures(values: np.ndarray) -> Row:
    return {"mean_iou": round(float(values.mean()), 4), "share_of_0.5": round(float((values >= 0.5).mean()), 4)}


def adaptation(args: argparse.Namespace) -> None:
    """Tiger and turtle by what is known of the masks."""
    section = Section(args.output, "adaptation", {"photos": args.photos, "epochs": args.epochs})
    for seed in range(args.seeds):
        case = real_photos(args.work, seed)
        photos = tuple(only_new(p, case.classes) for p in some_photos(case.test, args.photos).photos)
        case = dataclasses.replace(case, test=Dataset(case.test.file, case.classes, photos))
        for known, change in KNOWN.items():
            changed = tuple(
                dataclasses.replace(p, annotations=tuple(change(a, p) for a in p.annotations))
                for p in case.learn.photos
            )
            name = f"{known}, seed {seed}"
            learn = Dataset(args.work / f"{name}.json", case.classes, changed)
            write_dataset(learn)
            own = dataclasses.replace(case, learn=learn)
            section.row(name, lambda own=own, name=name, seed=seed: learned(own, name, seed, args))  # type: ignore[misc]


def without_mask(item: Annotation, _photo: Photo) -> Annotation:
    return dataclasses.replace(item, segmentation=None)


def box_as_mask(item: Annotation, photo: Photo) -> Annotation:
    x, y, w, h = (round(v) for v in item.bbox)
    filled = np.zeros((photo.height, photo.width), bool)
    filled[y : max(y + h, y + 1), x : max(x + w, x + 1)] = True
    return dataclasses.replace(item, segmentation=rle(filled))


KNOWN: dict[str, Callable[[Annotation, Photo], Annotation]] = {
    "true masks": lambda item, _photo: item,
    "boxes only": without_mask,
    "boxes as masks": box_as_mask,
}


def boxes_only(args: argparse.Namespace) -> None:
    """Box AP of classes of which no mask is known, with a base model that has masks and with one that has none."""
    section = Section(args.output, "boxes only", {"photos": args.photos, "epochs": args.epochs})
    for seed in range(args.seeds):
        for name, case in cases_without_masks(args.work):
            case = dataclasses.replace(case, test=some_photos(case.test, args.photos))
            row = f"{name}, seed {seed}"
            section.row(row, lambda case=case, row=row, seed=seed: learned(case, row, seed, args))  # type: ignore[misc]


def cases_without_masks(work: Path) -> Iterator[tuple[str, Case]]:
    tensors, _ = parse_safetensors(BASE)
    plain = work / "base_without_masks.safetensors"
    write_with_metadata(plain, {n: t for n, t in tensors.items() if ".mask_" not in n}, {})
    own = read_checkpoint(BASE, HINTS)[1].settings.values()
    settings = work / "settings.json"
    settings.write_text(json.dumps({name: value for name, value in own.items() if name not in FROM_SHAPES}))
    bases = {"maskrcnn": (BASE, HINTS), "fasterrcnn": (plain, CheckpointHints(NAMES, settings=settings))}
    for kind, (base, hints) in bases.items():
        for name in ("chickens", "frogs"):
            images = REAL / name / "images"
            learn, test = (read_dataset(REAL / name / f"{name}_{part}.json", images) for part in ("train", "test"))
            yield f"{name}, {kind}", Case(base, hints, learn.categories, learn, images, test)


def learned(case: Case, name: str, seed: int, args: argparse.Namespace) -> Row:
    """The new classes' AP in percent, and how many masks were made."""
    pack = args.work / f"{name.replace(', ', '-').replace(' ', '-')}.pack"
    learning, store = Learning(seed=seed, epochs=args.epochs), FeatureStore(args.work / "cache")
    result = edgekit.adapt(
        *(case.base, case.learn.file, case.images, pack, case.classes),
        learning=learning,
        hints=case.hints,
        store=store,
        force=True,
    )
    session = open_session(case.base, Selection(packs=(pack,)), case.hints)
    found = evaluate_session(session, case.test, name, silent).new
    assert found is not None
    row = {"box_AP": found.box.AP, "box_AP50": found.box.AP50}
    if found.mask is not None:
        row |= {"mask_AP": found.mask.AP, "mask_AP50": found.mask.AP50}
    made = {name: dataclasses.asdict(masks) for name, masks in result.made_masks.items()}
    return {figure: round(100 * value, 2) for figure, value in row.items()} | {"made_masks": made}


SECTIONS = {"made-masks": made_masks, "adaptation": adaptation, "boxes-only": boxes_only}


if __name__ == "__main__":
    main()

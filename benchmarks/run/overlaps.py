"""What one label per object gives and costs, by the score above which a new detection hides an old one.

    python -m benchmarks.run.overlaps --work /tmp/overlaps --output benchmarks/results/overlaps.json

Chicken and frog are added to the embedded model from drawn scenes, tiger and turtle to the base model of
../shared/real/everyday from 30 photos. "keep" is what is found without the rule. Run again, it goes on where it
stopped: models and figures of each seed stay in the work folder. --photos, --epochs and --seeds make a trial run short.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import edgekit
from benchmarks.lib.paths import SHARED
from benchmarks.lib.scenarios import scenes
from edgekit.adaptation.features.feature_cache import FeatureStore
from edgekit.adaptation.learning.learning_options import Learning
from edgekit.artifacts.metadata import ModelMeta, tool_versions
from edgekit.data.annotations.coco import write_dataset
from edgekit.data.annotations.dataset import Dataset, Photo
from edgekit.data.annotations.formats import read_dataset
from edgekit.data.detections import Detections, box_iou
from edgekit.demo.run_demo import PHOTOS
from edgekit.demo.scenes import NEW_CLASSES
from edgekit.files.whole_files import write_text
from edgekit.measurement.evaluate import Part, score
from edgekit.measurement.machine.system import machine
from edgekit.model.hints import CheckpointHints
from edgekit.runtime.opening import open_session
from edgekit.runtime.selection import OVERLAP_IOU, OVERLAP_ODDS, OVERLAP_SCORE, Selection, one_label
from edgekit.runtime.session import detect

# What hides a base detection: a later one's least score, and how many times surer the base may be (its odds).
ANY = 1e9
RULES = {
    "keep": None,
    "0.5": (0.5, ANY),
    "0.7": (0.7, ANY),
    "0.8": (0.8, ANY),
    "0.5, odds 7": (0.5, 7.0),
    "0.75, odds 7": (OVERLAP_SCORE, OVERLAP_ODDS),
    "0.8, odds 7": (0.8, 7.0),
}
CONFIDENT = 0.5  # an old label above this score is one that users see
EVERYDAY = SHARED / "real" / "everyday"
EVERYDAY_CLASSES = ("tiger", "turtle")
PHOTOS_PER_CLASS = 15


@dataclass(frozen=True)
class Case:
    """A base model, photos in which only the new classes are annotated, and photos with all labels to test on."""

    base: str | Path
    hints: CheckpointHints
    classes: tuple[str, ...]
    learn: Dataset
    images: Path
    test: Dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for scenes, models and finished seeds")
    parser.add_argument("--output", type=Path, required=True, help="result file to write (.json)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--photos", type=int, default=None, help="test photos of each case (default: all)")
    parser.add_argument("--epochs", type=int, default=Learning().epochs)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    cases = {}
    for name, make in CASES.items():
        rows: list[dict[str, Any]] = []
        for seed in range(args.seeds):
            case = make(args.work, seed)
            case = dataclasses.replace(case, test=some_photos(case.test, args.photos))
            rows += one_seed(case, f"{name}-{seed}", seed, args.epochs, args.work)
        about = {"classes": case.classes, "learned_photos": len(case.learn.photos), "epochs": args.epochs}
        cases[name] = about | {"test_photos": len(case.test.photos), "mean": means(rows), "rows": rows}
        print(json.dumps({name: cases[name]["mean"]}, indent=1), flush=True)
    result = {"seeds": args.seeds, "iou": OVERLAP_IOU, "cases": cases}
    write_text(args.output, json.dumps(result | {"machine": machine(), "versions": tool_versions()}, indent=1) + "\n")


def drawn_scenes(work: Path, seed: int) -> Case:
    """The demo's scenes; each seed learns from others, and all are tested on the same."""
    learn = scenes("new-train", PHOTOS["new-train"], work, seed)
    test = scenes("mixed-test", PHOTOS["mixed-test"], work)
    return Case("demo", CheckpointHints(), NEW_CLASSES, learn, learn.file.parent, test)


def real_photos(work: Path, seed: int) -> Case:
    """Photos of animals; each seed learns from others."""
    images = EVERYDAY / "images"
    train = read_dataset(EVERYDAY / "instances_train.json", images)
    order = np.random.default_rng(seed).permutation(len(train.photos))
    chosen: dict[Path, Photo] = {}
    for name in EVERYDAY_CLASSES:
        shown = [p for p in (train.photos[i] for i in order) if any(a.category == name for a in p.annotations)]
        new = [p for p in shown if p.path not in chosen][:PHOTOS_PER_CLASS]
        chosen |= {p.path: only_new(p, EVERYDAY_CLASSES) for p in new}
    learn = Dataset(work / f"everyday-{seed}-annotations.json", EVERYDAY_CLASSES, tuple(chosen.values()))
    write_dataset(learn)
    hints = CheckpointHints(EVERYDAY / "base_11_classes.txt", "maskrcnn_mobilenet_v2_fpn")
    test = read_dataset(EVERYDAY / "instances_val.json", images)
    return Case(EVERYDAY / "base_11_classes.safetensors", hints, EVERYDAY_CLASSES, learn, images, test)


CASES: dict[str, Callable[[Path, int], Case]] = {"drawn scenes": drawn_scenes, "real photos": real_photos}


def only_new(photo: Photo, classes: Sequence[str]) -> Photo:
    """A photo in which only some classes are annotated."""
    return dataclasses.replace(photo, annotations=tuple(a for a in photo.annotations if a.category in classes))


def some_photos(dataset: Dataset, count: int | None) -> Dataset:
    """So many photos, evenly spaced, for a trial; all with None."""
    every = 1 if count is None else max(1, len(dataset.photos) // count)
    return dataclasses.replace(dataset, photos=dataset.photos[::every][:count])


def one_seed(case: Case, name: str, seed: int, epochs: int, work: Path) -> list[dict[str, Any]]:
    """Adapt, unless that is done, and measure, unless that is done."""
    stem = f"{name.replace(' ', '-')}-{epochs}"
    pack, done = work / f"{stem}.pack", work / f"{stem}-{len(case.test.photos)}.json"
    if not pack.exists():
        learning, store = Learning(seed=seed, epochs=epochs), FeatureStore(work / "cache")
        data, images = case.learn.file, case.images
        edgekit.adapt(case.base, data, images, pack, case.classes, learning=learning, hints=case.hints, store=store)
    if not done.exists():
        rows = [{"seed": seed} | row for row in measured(case, pack)]
        write_text(done, json.dumps(rows, indent=1) + "\n")
    finished: list[dict[str, Any]] = json.loads(done.read_text())
    return finished


def measured(case: Case, pack: Path) -> list[dict[str, Any]]:
    """The figures with each rule, all of one pass over the test photos."""
    session = open_session(case.base, Selection(packs=(pack,)), case.hints)
    meta, photos = session.meta, case.test.photos
    found = [detect(session, p.read()) for p in photos]
    rows = []
    for name, rule in RULES.items():
        kept = found if rule is None else [d.select(one_label(d, meta, *rule)) for d in found]
        result = score(case.test, photos, kept, meta)
        row: dict[str, Any] = (
            {"rule": name} | average_precision("old", result.old) | average_precision("new", result.new)
        )
        rows.append(row | old_labels(photos, kept, meta))
        print(pack.stem, json.dumps(rows[-1]), flush=True)
    return rows


def average_precision(name: str, part: Part | None) -> dict[str, float | None]:
    """AP in percent by boxes and by masks; None where the photos show none of the classes."""
    mask = part.mask if part else None
    return {
        f"{name}_box_AP": round(100 * part.box.AP, 2) if part else None,
        f"{name}_mask_AP": round(100 * mask.AP, 2) if mask else None,
    }


def old_labels(photos: Sequence[Photo], found: Sequence[Detections], meta: ModelMeta) -> dict[str, int]:
    """How many old labels above ``CONFIDENT`` there are, and how many of these lie on an annotated new object."""
    total = on_new = 0
    for photo, d in zip(photos, found, strict=True):
        old = d.boxes[(d.labels < len(meta.generations[0])) & (d.scores > CONFIDENT)]
        corners = [a.bbox for a in photo.annotations if a.category in meta.new_classes]
        new = np.array(corners, np.float32).reshape(-1, 4)
        new[:, 2:] += new[:, :2]
        total += len(old)
        on_new += int((box_iou(old, new) >= OVERLAP_IOU).any(axis=1).sum())
    return {"old_labels": total, "old_labels_on_new_objects": on_new}


def means(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The mean over seeds of each rule's figures, and where a figure is missing None."""
    result = []
    for name in RULES:
        own = [r for r in rows if r["rule"] == name]
        row: dict[str, Any] = {"rule": name}
        for figure in own[0]:
            values = [r[figure] for r in own]
            if figure not in ("seed", "rule"):
                row[figure] = None if None in values else round(float(np.mean(values)), 2)
        result.append(row)
    return result


if __name__ == "__main__":
    main()

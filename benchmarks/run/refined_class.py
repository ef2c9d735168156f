"""What photos of a new domain give a class that the base model has, and what they change of everything else.

    python -m benchmarks.run.refined_class --work /tmp/refined --output benchmarks/results/refined_class.json

The embedded model, which has learned from OpenMoji's drawings, learns more of some classes from scenes in Noto's
drawings (Debian's package fonts-noto-color-emoji), in which only these are annotated. It is tested on scenes in both
styles. Run again, it goes on where it stopped: packs and figures of each seed stay in the work folder. --photos,
--epochs and --seeds make a trial run short.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import edgekit
from benchmarks.lib.noto import NOTO
from benchmarks.lib.scenarios import scenes
from benchmarks.run.overlaps import average_precision, only_new, some_photos
from edgekit.adaptation.features.feature_cache import FeatureStore
from edgekit.adaptation.learning.learning_options import Learning
from edgekit.adaptation.proof import detect_with_one_trunk
from edgekit.artifacts.metadata import tool_versions
from edgekit.artifacts.pack_files import read_packs
from edgekit.comparison.retention import retention
from edgekit.data.annotations.coco import write_dataset
from edgekit.data.annotations.dataset import Dataset
from edgekit.files.whole_files import write_text
from edgekit.measurement.evaluate import score
from edgekit.measurement.machine.system import machine
from edgekit.runtime.selection import one_label
from edgekit.runtime.torch_session import TorchSession

CLASSES = ("sheep", "bus")
LEARNED, DRAWN, TESTED = 30, 160, 150  # photos to learn from, of so many that are drawn; photos to test on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for scenes, packs and finished seeds")
    parser.add_argument("--output", type=Path, required=True, help="result file to write (.json)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--photos", type=int, default=None, help="test photos of each style (default: all)")
    parser.add_argument("--epochs", type=int, default=Learning().epochs)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    fonts = {"Noto's drawings": NOTO, "OpenMoji's drawings": None}
    tests = {s: some_photos(scenes("base-test", TESTED, args.work, font=f), args.photos) for s, f in fonts.items()}
    rows = [row for seed in range(args.seeds) for row in one_seed(tests, seed, args.epochs, args.work)]
    about = {"classes": CLASSES, "seeds": args.seeds, "epochs": args.epochs, "learned_photos": LEARNED}
    result = about | {"test_photos": {s: len(t.photos) for s, t in tests.items()}, "mean": means(rows), "rows": rows}
    print(json.dumps(result["mean"], indent=1))
    write_text(args.output, json.dumps(result | {"machine": machine(), "versions": tool_versions()}, indent=1) + "\n")


def one_seed(tests: dict[str, Dataset], seed: int, epochs: int, work: Path) -> list[dict[str, Any]]:
    """Teach the classes, unless that is done, and measure, unless that is done."""
    pack = work / f"refined-{seed}-{epochs}.pack"
    done = pack.with_name(f"{pack.stem}-{'-'.join(str(len(t.photos)) for t in tests.values())}.json")
    if not pack.exists():
        drawn = scenes("base-train", DRAWN, work, seed + 1, NOTO)
        shown = [p for p in drawn.photos if any(a.category in CLASSES for a in p.annotations)][:LEARNED]
        data = Dataset(work / f"learned-{seed}.json", CLASSES, tuple(only_new(p, CLASSES) for p in shown))
        write_dataset(data)
        learning, store = Learning(seed=seed, epochs=epochs), FeatureStore(work / "cache")
        images = drawn.file.parent
        edgekit.adapt("demo", data.file, images, pack, learning=learning, store=store, improve=CLASSES)
    if not done.exists():
        rows = [{"seed": seed, "test": style} | measured(test, pack) for style, test in tests.items()]
        write_text(done, json.dumps(rows, indent=1) + "\n")
    finished: list[dict[str, Any]] = json.loads(done.read_text())
    return finished


def measured(test: Dataset, pack: Path) -> dict[str, Any]:
    """The AP of each refined class and of the others, before and after, and how many old detections changed."""
    before, after = TorchSession.load("demo"), TorchSession.load("demo", packs=read_packs([pack]))
    pairs = [detect_with_one_trunk({before: None, after: None}, p.read()) for p in test.photos]
    old = [first for first, _ in pairs]
    every = [second for _, second in pairs]
    one = [d.select(one_label(d, after.meta)) for d in every]
    row: dict[str, Any] = {}
    for name in CLASSES:
        only = Dataset(test.file, (name,), test.photos)
        row |= average_precision(f"{name} before", score(only, only.photos, old, before.meta).old)
        row |= average_precision(f"{name} after", score(only, only.photos, one, after.meta).old)
    others = Dataset(test.file, tuple(c for c in test.categories if c not in CLASSES), test.photos)
    parts = {"before": (old, before.meta), "after, keep": (every, after.meta), "after, one": (one, after.meta)}
    for when, (found, meta) in parts.items():
        row |= average_precision(f"others {when}", score(others, others.photos, found, meta).old)
    kept = retention(((a, b) for a, b in pairs), len(before.meta.categories))
    return row | {"old_detections": kept.compared, "old_detections_changed": kept.changed}


def means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The mean over seeds of each style's figures."""
    result = []
    for style in dict.fromkeys(row["test"] for row in rows):
        own = [row for row in rows if row["test"] == style]
        figures = {name: round(float(np.mean([r[name] for r in own])), 2) for name in own[0] if name not in KEYS}
        result.append({"test": style} | figures)
    return result


KEYS = ("seed", "test")


if __name__ == "__main__":
    main()

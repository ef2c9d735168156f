"""Compare ways to add classes, on drawn scenes or on real photos; run again, it goes on where it stopped.

    python -m benchmarks.run.compare_methods demo --work /tmp/demo-methods --output benchmarks/results/methods_demo.json
    python -m benchmarks.run.compare_methods msrc --work /tmp/msrc-methods --output benchmarks/results/methods_msrc.json

Every method adds the same classes to the same base model from the same photos; all are evaluated on the same test
photos. Detections of old classes are compared bit by bit with the base model's.
``msrc`` needs the photos in ../shared/msrc and the base model that benchmarks/run/train_msrc_base.py writes to
/tmp/msrc/base.safetensors.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.lib.adaptation_methods import METHODS, Task, run
from benchmarks.lib.scenarios import Scenario, demo_scenario, msrc_scenario
from edgekit.artifacts.metadata import ModelMeta, tool_versions
from edgekit.comparison.retention import Retention, retention
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.detections import Detections, from_canvas
from edgekit.data.images import fit
from edgekit.files.whole_files import write_text
from edgekit.measurement.evaluate import score
from edgekit.model.checkpoint import load_model
from edgekit.model.generations import GenerationalRCNN

CONFIDENT = 0.5  # a detection above this score counts as a false one where there is no such object
SCENARIOS = {"demo": demo_scenario, "msrc": msrc_scenario}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--work", type=Path, required=True, help="folder for photos, models and finished rows")
    parser.add_argument("--output", type=Path, required=True, help="result file to write (.json)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(args.seeds):
        done = args.work / f"seed-{seed}.json"
        if not done.exists():
            scenario = SCENARIOS[args.scenario](args.work, seed)
            write_text(done, json.dumps(one_seed(scenario, args.work / f"models-{seed}", args.work / "cache", seed)))
        rows += json.loads(done.read_text())
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": args.threads,
    }
    scenario = SCENARIOS[args.scenario](args.work, 0)
    about = {"scenario": args.scenario, "classes": scenario.classes, "about": scenario.about, "seeds": args.seeds}
    result = about | {"machine": machine, "versions": tool_versions(), "rows": rows}
    write_text(args.output, json.dumps(result, indent=1) + "\n")


def one_seed(scenario: Scenario, models: Path, cache: Path, seed: int) -> list[dict[str, Any]]:
    """Train every method at every number of photos, then evaluate all models in one pass over the test photos."""
    models.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, Any]] = {}
    for shots in scenario.shots:
        for method in METHODS:
            name = f"{shots}-{list(METHODS).index(method)}"
            file, note = models / f"{name}.safetensors", models / f"{name}.json"
            if not note.exists():
                photos, labelled, balanced = scenario.take(shots)
                about = (method, scenario.base, scenario.classes)
                cost = run(Task(*about, photos, labelled, balanced, scenario.old, seed, str(cache)), file)
                write_text(note, json.dumps(dataclasses.asdict(cost)))
            row = {"method": method, "shots": shots, "seed": seed}
            rows[name] = row | json.loads(note.read_text())
            print(json.dumps(rows[name]), flush=True)
    base, base_meta = load_model(scenario.base)
    modules = {"base": base} | {name: load_model(models / f"{name}.safetensors")[0] for name in rows}
    meta = dataclasses.replace(base_meta, generations=(*base_meta.generations, scenario.classes))
    for test, dataset in scenario.tests.items():
        found = detect_all(modules, base, base_meta.input_size, dataset)
        for name, row in rows.items():
            row[test] = figures(dataset, found["base"], found[name], meta)
    return list(rows.values())


@torch.inference_mode()
def detect_all(
    modules: dict[str, GenerationalRCNN], base: GenerationalRCNN, size: tuple[int, int], dataset: Dataset
) -> dict[str, list[Detections]]:
    """What each model finds in each photo; the trunk, the same in all of them, runs once a photo."""
    found: dict[str, list[Detections]] = {name: [] for name in modules}
    for photo in dataset.photos:
        canvas = fit(photo.read(), size)
        levels, proposals = base.trunk(torch.tensor(canvas.pixels)[None])
        for name, module in modules.items():
            result = {k: v.numpy() for k, v in module.detect(levels, proposals, size)[0].items()}
            arrays = (result["boxes"], result["labels"], result["scores"], result["masks"])
            found[name].append(from_canvas(canvas, *arrays))
    return found


def figures(dataset: Dataset, base: list[Detections], found: list[Detections], meta: ModelMeta) -> dict[str, Any]:
    """AP in percent, old and new classes apart; false new detections in photos without any; old detections changed."""
    old_labels = len(meta.generations[0])
    evaluation = score(dataset, dataset.photos, found, meta)
    before = score(dataset, dataset.photos, base, meta)
    without = [d for p, d in zip(dataset.photos, found, strict=True) if not _shows(p, meta.new_classes)]
    false = [int(((d.labels >= old_labels) & (d.scores > CONFIDENT)).sum()) for d in without]
    result: dict[str, Any] = {"photos": len(found), **old_changes(retention(zip(base, found, strict=True), old_labels))}
    result |= {"false_new_a_photo": round(float(np.mean(false)), 3) if false else None, "photos_without": len(false)}
    for name, part in (("old_before", before.old), ("old", evaluation.old), ("new", evaluation.new)):
        if part is not None and part.mask is not None:
            values = (part.box.AP, part.box.AP50, part.mask.AP, part.mask.AP50)
            result[name] = dict(
                zip(("box_AP", "box_AP50", "mask_AP", "mask_AP50"), (_percent(v) for v in values), strict=True)
            )
    return result


def old_changes(kept: Retention) -> dict[str, int]:
    """Of the base model's detections how many were compared and changed, and how many old ones only the other has."""
    own, changed = kept.compared - kept.added, kept.changed - kept.added
    return {"old_changed": changed, "old_compared": own, "old_added": kept.added}


def _shows(photo: Any, classes: tuple[str, ...]) -> bool:
    return any(a.category in classes for a in photo.annotations)


def _percent(value: float) -> float:
    return round(100 * value, 2)


if __name__ == "__main__":
    main()

"""The whole loop on the embedded model: add chicken and frog, export, evaluate, time, report."""

from __future__ import annotations

import dataclasses
import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgekit.adaptation.adapt import adapt
from edgekit.artifacts.metadata import tool_versions
from edgekit.artifacts.outputs import check_outputs
from edgekit.artifacts.safetensors_files import read_safetensors
from edgekit.comparison.retention import retention
from edgekit.data.annotations.coco import Dataset, Photo
from edgekit.data.detections import Detections
from edgekit.demo.naive_loop import fine_tune_naively
from edgekit.demo.page import Scene, write_page
from edgekit.demo.photo_sets import demo_files, write_demo_set
from edgekit.demo.scenes import NEW_CLASSES
from edgekit.demo.stock_export import StockSession, export_stock
from edgekit.demo.summary import DemoSummary
from edgekit.deployment.export.export import export
from edgekit.files.whole_files import output_folder, staging, write_text
from edgekit.inference.drawing import draw
from edgekit.measurement.bench.sessions import time_sessions
from edgekit.measurement.evaluate import Evaluation, score
from edgekit.measurement.machine.system import machine
from edgekit.model.checkpoint import load_model, save_model
from edgekit.progress import Track, silent
from edgekit.runtime.opening import open_session
from edgekit.runtime.session import Session, detect

PHOTOS = {"new-train": 60, "base-test": 150, "mixed-test": 150}
MODELS = ("adapted.safetensors", "adapted.onnx", "naive.safetensors", "base.onnx", "torchvision.onnx")
FILES = (*MODELS, "adapted.retention.json", "summary.json", "report.html")  # beside the photos
LOOP_EPOCHS = 20  # of torchvision's loop, whose time for as many as edgekit's is extrapolated
RUNS = 40  # of each model when timing
CONFIDENT = 0.5  # a detection above this score counts as a false one where there is no such object
PICTURES = 8


def run_demo(output: Path = Path("demo"), seed: int = 0, force: bool = False, track: Track = silent) -> DemoSummary:
    """Run the demo and write models, photos, ``summary.json`` and ``report.html`` to the folder ``output``.

    ``force`` replaces files of these names that edgekit did not make.
    """
    folder = output_folder(output.absolute())
    photos = [f"photos/{n}/{name}" for n, count in PHOTOS.items() for name in demo_files(count)]
    check_outputs([folder / name for name in (*FILES, *photos)], [], force)
    sets = {n: write_demo_set(n, c, folder / "photos" / n, seed, track) for n, c in PHOTOS.items()}
    new_train, base_test, mixed_test = (sets[n] for n in ("new-train", "base-test", "mixed-test"))

    adapted_file, naive_file = folder / "adapted.safetensors", folder / "naive.safetensors"
    with staging(folder) as cache:  # a fresh one, so that the times are those of a first run
        images = new_train.file.parent
        adaptation = adapt("demo", new_train.file, images, adapted_file, seed=seed, cache=cache, track=track)
    base, base_meta = load_model("demo")
    learned = list(new_train.photos)
    naive = fine_tune_naively(base, learned, NEW_CLASSES, base_meta.input_size, LOOP_EPOCHS, seed, track)
    _, adapted_meta = read_safetensors(adapted_file)
    save_model(naive_file, naive.module, dataclasses.replace(adapted_meta, scoring="joint"))
    exported = export(adapted_file, folder / "adapted.onnx", track=track)
    assert exported.verification is not None
    agreement = exported.verification.parity
    export("demo", folder / "base.onnx", track=track)
    stock_file = folder / "torchvision.onnx"
    for _ in track(range(1), "torchvision's own export"):
        export_stock(adapted_file, stock_file)

    sessions: dict[str, Session] = {
        "base": open_session("demo"),
        "adapted": open_session(adapted_file),
        "naive": open_session(naive_file),
        "base.onnx": open_session(folder / "base.onnx"),
        "adapted.onnx": open_session(folder / "adapted.onnx"),
    }
    on_base = _detect_all(sessions, base_test, track)
    on_mixed = _detect_all(sessions, mixed_test, track)
    old_labels = len(base_meta.categories)
    kept = [
        retention(zip(found[before], found[after], strict=True), old_labels)
        for found in (on_base, on_mixed)
        for before, after in (("base", "adapted"), ("base.onnx", "adapted.onnx"))
    ]
    timed = {f"{n} (edgekit)" if n.endswith(".onnx") else n: s for n, s in sessions.items() if n != "naive"}
    timed["adapted.onnx (torchvision's export)"] = StockSession(stock_file, adapted_meta)
    latency = time_sessions(timed, [p.read() for p in mixed_test.photos[:20]], RUNS, track)

    def on_mixed_test(name: str) -> Evaluation:
        return score(mixed_test, mixed_test.photos, on_mixed[name], sessions[name].meta)

    summary = DemoSummary(
        base=score(base_test, base_test.photos, on_base["base"], base_meta),
        base_on_mixed=on_mixed_test("base"),
        adapted=on_mixed_test("adapted"),
        naive=on_mixed_test("naive"),
        old_detections_changed=sum(k.changed for k in kept),
        old_detections_compared=sum(k.compared for k in kept),
        false_new_per_base_image=_false_new(on_base["adapted"], old_labels),
        naive_false_new_per_base_image=_false_new(on_base["naive"], old_labels),
        trunk_export_seconds=adaptation.trunk_seconds,
        adapt_seconds=round(adaptation.feature_seconds + adaptation.training_seconds, 2),
        loop_epochs=LOOP_EPOCHS,
        loop_seconds=round(naive.seconds, 2),
        epochs=adaptation.settings["epochs"],
        photos=PHOTOS,
        export_seconds=exported.seconds,
        parity_matched=agreement.matched,
        parity_compared=agreement.compared,
        latency=tuple(latency),
        peak_rss_mb=_peak_rss_mb(),
        machine=machine(),
        versions=tool_versions(),
    )
    values = {"format": "edgekit demo 1"} | dataclasses.asdict(summary)
    write_text(folder / "summary.json", json.dumps(values, indent=2) + "\n")
    pictures = _pictures(mixed_test, {n: on_mixed[n] for n in ("base", "adapted", "naive")}, adapted_meta.categories)
    write_page(folder / "report.html", summary, pictures)
    return summary


def _detect_all(sessions: dict[str, Session], dataset: Dataset, track: Track) -> dict[str, list[Detections]]:
    """What each model finds in each photo."""
    found: dict[str, list[Detections]] = {name: [] for name in sessions}
    for photo in track(dataset.photos, f"running on {dataset.file.parent.name}"):
        pixels = photo.read()
        for name, session in sessions.items():
            found[name].append(detect(session, pixels))
    return found


def _false_new(found: Sequence[Detections], old_labels: int) -> float:
    """Confident detections of new classes a photo, in photos that show none."""
    wrong = [int(((d.labels >= old_labels) & (d.scores > CONFIDENT)).sum()) for d in found]
    return float(np.mean(wrong))


def _pictures(dataset: Dataset, found: dict[str, list[Detections]], categories: tuple[str, ...]) -> list[Scene]:
    """The first photos that show old and new objects, with what each model found in them."""

    def shows_both(photo: Photo) -> bool:
        names = {a.category for a in photo.annotations}
        return bool(names & set(NEW_CLASSES)) and bool(names - set(NEW_CLASSES))

    chosen = [i for i, p in enumerate(dataset.photos) if shows_both(p)][:PICTURES]
    scenes = []
    for i in chosen:
        pixels = dataset.photos[i].read()
        drawn = {n: draw(pixels, d[i].select(d[i].scores >= CONFIDENT), categories) for n, d in found.items()}
        scenes.append(Scene(dataset.photos[i].path.name, drawn))
    return scenes


def _peak_rss_mb() -> float:
    """The largest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)

"""The whole loop on the embedded model: add chicken and frog, export, evaluate, time, report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from edgekit.adaptation.proof import detect_with_one_trunk
from edgekit.artifacts.outputs import check_outputs
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.detections import Detections
from edgekit.demo.model_set import INT8, MODELS, make_models, open_models, timed_models
from edgekit.demo.page import write_page
from edgekit.demo.photo_sets import demo_files, write_demo_set
from edgekit.demo.summary import DemoSummary, Found, summarise
from edgekit.deployment.precision.calibration import table_of
from edgekit.files.whole_files import output_folder, write_text
from edgekit.measurement.bench.sessions import time_sessions
from edgekit.progress import Track, silent
from edgekit.runtime.session import Session, detect
from edgekit.runtime.torch_session import TorchSession

PHOTOS = {"new-train": 60, "base-test": 150, "mixed-test": 150}
OTHERS = ("adapted.retention.json", table_of(Path(INT8)).name, "summary.json", "report.html")
FILES = (*MODELS, *OTHERS)  # beside the photos
RUNS = 40  # of each model when timing


def run_demo(output: Path = Path("demo"), seed: int = 0, force: bool = False, track: Track = silent) -> DemoSummary:
    """Run the demo and write models, photos, ``summary.json`` and ``report.html`` to the folder ``output``.

    ``force`` replaces files of these names that edgekit did not make.
    """
    folder = output_folder(output.absolute())
    photos = [f"photos/{n}/{name}" for n, count in PHOTOS.items() for name in demo_files(count)]
    check_outputs([folder / name for name in (*FILES, *photos)], [], force)
    sets = {n: write_demo_set(n, count, folder / "photos" / n, seed, track) for n, count in PHOTOS.items()}
    made = make_models(folder, sets["new-train"], seed, track)

    sessions = open_models(folder)
    found = {n: _detect_all(sessions, sets[n], track) for n in ("base-test", "mixed-test")}
    timed_photos = [p.read() for p in sets["mixed-test"].photos[:20]]
    latency = time_sessions(timed_models(folder, sessions), timed_photos, RUNS, track)

    metas = {name: session.meta for name, session in sessions.items()}
    summary = summarise(made, sets, found, metas, latency)
    values = {"format": "edgekit demo 1"} | dataclasses.asdict(summary)
    write_text(folder / "summary.json", json.dumps(values, indent=2) + "\n")
    write_page(folder / "report.html", summary, sets["mixed-test"], found["mixed-test"], metas["adapted"].categories)
    return summary


def _detect_all(sessions: dict[str, Session], dataset: Dataset, track: Track) -> Found:
    """What each model finds in each photo.

    The trunk, which is frozen in all of them, runs once for all checkpoints. Each graph runs by itself, since
    onnxruntime's threads go on spinning after a run and slow the next model.
    """
    photos, name = [p.read() for p in dataset.photos], dataset.file.parent.name
    checkpoints = {n: s for n, s in sessions.items() if isinstance(s, TorchSession)}
    whole = dict.fromkeys(checkpoints.values())
    together = [detect_with_one_trunk(whole, pixels) for pixels in track(photos, f"PyTorch on {name}")]
    found: dict[str, Sequence[Detections]] = dict(zip(checkpoints, zip(*together, strict=True), strict=True))
    for graph, session in sessions.items():
        if graph not in checkpoints:
            found[graph] = [detect(session, pixels) for pixels in track(photos, f"{graph} on {name}")]
    return found

"""The demo's report: one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.data.annotations.dataset import Dataset
from edgekit.demo.scenes import NEW_CLASSES
from edgekit.demo.summary import CONFIDENT, DemoSummary, Found
from edgekit.files.whole_files import write_text
from edgekit.inference.drawing import draw
from edgekit.report.pages import rendered

PICTURES = 8  # photos that are shown
SHOWN = ("base", "adapted", "naive")  # models, from left to right


def write_page(path: Path, summary: DemoSummary, dataset: Dataset, found: Found, categories: tuple[str, ...]) -> None:
    """Write the report, with what was ``found`` in the first photos of ``dataset`` that show old and new objects."""
    text = rendered("demo", "page.html.j2", s=summary, shown=_pictures(dataset, found, categories))
    write_text(path, text)


def _pictures(dataset: Dataset, found: Found, categories: tuple[str, ...]) -> list[dict[str, Any]]:
    old = {name for name in categories if name not in NEW_CLASSES}
    classes = [{a.category for a in p.annotations} for p in dataset.photos]
    chosen = [i for i, names in enumerate(classes) if names & old and names & set(NEW_CLASSES)][:PICTURES]
    shown = []
    for i in chosen:
        pixels = dataset.photos[i].read()
        detections = {name: found[name][i] for name in SHOWN}
        drawn = {n: draw(pixels, d.select(d.scores >= CONFIDENT), categories) for n, d in detections.items()}
        shown.append({"name": dataset.photos[i].path.name, "pictures": drawn})
    return shown

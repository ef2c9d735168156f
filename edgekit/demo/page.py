"""The demo's report: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from edgekit.data.annotations.dataset import Dataset
from edgekit.demo.scenes import NEW_CLASSES
from edgekit.demo.summary import CONFIDENT, DemoSummary, Found
from edgekit.files.whole_files import write_text
from edgekit.inference.drawing import draw

PICTURES = 8  # photos that are shown
SHOWN = ("base", "adapted", "naive")  # models, from left to right


def write_page(path: Path, summary: DemoSummary, dataset: Dataset, found: Found, categories: tuple[str, ...]) -> None:
    """Write the report, with what was ``found`` in the first photos of ``dataset`` that show old and new objects."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}"
    environment.filters["data_url"] = _data_url
    template = environment.from_string(files("edgekit.demo").joinpath("page.html.j2").read_text("utf-8"))
    write_text(path, template.render(s=summary, shown=_pictures(dataset, found, categories)))


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


def _data_url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

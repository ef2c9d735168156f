"""The demo's report: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jinja2
from PIL import Image

from edgekit.data.annotations.dataset import Dataset, Photo
from edgekit.demo.scenes import NEW_CLASSES
from edgekit.demo.summary import CONFIDENT, DemoSummary, Found
from edgekit.files.whole_files import write_text
from edgekit.inference.drawing import draw

PICTURES = 8  # photos that are shown
SHOWN = ("base", "adapted", "naive")  # models, from left to right


@dataclass(frozen=True)
class _Shown:
    """A photo with what each model found in it."""

    name: str
    pictures: dict[str, Image.Image]  # by model


def write_page(path: Path, summary: DemoSummary, dataset: Dataset, found: Found, categories: tuple[str, ...]) -> None:
    """Write the report, with what was ``found`` in the first photos of ``dataset`` that show old and new objects."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}"
    environment.filters["data_url"] = _data_url
    template = environment.from_string(files("edgekit.demo").joinpath("page.html.j2").read_text("utf-8"))
    write_text(path, template.render(s=summary, shown=_pictures(dataset, found, categories)))


def _pictures(dataset: Dataset, found: Found, categories: tuple[str, ...]) -> list[_Shown]:
    chosen = [i for i, p in enumerate(dataset.photos) if _shows_both(p)][:PICTURES]
    shown = []
    for i in chosen:
        pixels = dataset.photos[i].read()
        detections = {name: found[name][i] for name in SHOWN}
        drawn = {n: draw(pixels, d.select(d.scores >= CONFIDENT), categories) for n, d in detections.items()}
        shown.append(_Shown(dataset.photos[i].path.name, drawn))
    return shown


def _shows_both(photo: Photo) -> bool:
    """Whether a photo shows old and new objects."""
    names = {a.category for a in photo.annotations}
    return bool(names & set(NEW_CLASSES)) and bool(names - set(NEW_CLASSES))


def _data_url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

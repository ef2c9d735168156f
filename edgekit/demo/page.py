"""The demo's report: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from PIL import Image

from edgekit.files.whole_files import write_text

if TYPE_CHECKING:
    from edgekit.demo.summary import DemoSummary


@dataclass(frozen=True)
class Scene:
    """One photo as each model sees it."""

    name: str
    pictures: dict[str, Image.Image]  # by model


def write_page(path: Path, summary: DemoSummary, scenes: list[Scene]) -> None:
    """Write the report with its pictures inside."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}"
    environment.filters["data_url"] = _data_url
    template = environment.from_string(files("edgekit.demo").joinpath("page.html.j2").read_text("utf-8"))
    write_text(path, template.render(s=summary, scenes=scenes))


def _data_url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

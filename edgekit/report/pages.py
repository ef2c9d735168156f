"""HTML pages that need no other file: templates of any room in one look, with their pictures inside."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

PACKAGE = Path(__file__).parent.parent


def rendered(room: str, template: str, **values: Any) -> str:
    """The text of a page: a template in ``edgekit/<room>/``, which may extend this room's."""
    loader = jinja2.FileSystemLoader([PACKAGE / room, PACKAGE / "report"])
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}"
    environment.filters["data_url"] = _data_url
    return environment.get_template(template).render(values)


def _data_url(picture: Image.Image) -> str:
    """A picture as a JPEG inside the page."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

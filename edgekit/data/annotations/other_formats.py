"""Formats that edgekit does not read, told by their keys so that an error can name them."""

from __future__ import annotations

from typing import Any

# The keys of a document, or of the first item of a list.
KEYS = {
    "CreateML": {"image", "annotations"},
    "Darwin (V7)": {"version", "item", "annotations"},
    "Datumaro": {"categories", "items"},
    "Encord": {"data_units", "label_hash"},
    "Scale AI": {"task_id", "response"},
    "SuperAnnotate": {"metadata", "instances"},
    "VoTT": {"assets", "tags"},
}


def other_format(document: Any) -> str:
    """The name of the format that a JSON document is in, if it is one of ``KEYS``; else ""."""
    item = document[0] if isinstance(document, list) and document else document
    found = item.keys() if isinstance(item, dict) else set()
    return next((name for name, keys in KEYS.items() if keys <= found), "")

"""Formats that are one JSON file: given as the file, or as the folder that holds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.errors import EdgekitError


def holds_document(source: AnnotationSource, is_one: Callable[[Any], bool]) -> bool:
    """Whether a file, or a file of a folder, is a document of some format."""
    return is_one(source.document) or any(map(is_one, source.documents.values()))


def single_document(source: AnnotationSource, is_one: Callable[[Any], bool]) -> tuple[Path, Any]:
    """The file with the document of a format, and the document; raises where a folder holds several."""
    if not source.path.is_dir():
        return source.path, source.document
    found = [(file, document) for file, document in source.documents.items() if is_one(document)]
    if len(found) > 1:
        names = ", ".join(file.name for file, _ in found)
        raise EdgekitError(
            f"{source.path}: holds {len(found)} files of annotations: {names}", f"give one, e.g. {found[0][0]}"
        )
    return found[0]

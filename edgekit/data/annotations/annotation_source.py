"""What a user gives as annotations: a file or folder, which is opened once, whatever its format."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.files.reading import list_files, read_text


@dataclass(frozen=True)
class AnnotationSource:
    """A file or folder of annotations, the folders of photos, and the split of it that is wanted, if any."""

    path: Path
    images: tuple[Path, ...] = ()
    split: str = ""

    @cached_property
    def document(self) -> Any:
        """The JSON document of a file; None for a folder, or where the file is not JSON."""
        return None if self.path.is_dir() else self._parse(self.path)

    @cached_property
    def documents(self) -> dict[Path, Any]:
        """The JSON documents of the files right in a folder; None for one that is not JSON."""
        return {file: self._parse(file) for file in list_files(self.path, [".json"])} if self.path.is_dir() else {}

    def _parse(self, file: Path) -> Any:
        try:
            document = json.loads(read_text(file))
        except (OSError, ValueError, RecursionError, EdgekitError):
            return None
        if isinstance(document, dict):
            document.pop("imageData", None)  # labelme's copy of the photo: a folder's copies would fill the memory
        return document

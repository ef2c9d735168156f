"""Drawn photos with faults planted in their annotations."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.data.annotations.dataset import Dataset

Row = dict[str, Any]


class Planted:
    """A copy of a set in another folder, whose annotations are changed before they are written."""

    def __init__(self, source: Dataset, folder: Path) -> None:
        self.images = folder / "photos"
        self.images.mkdir(parents=True)
        for photo in source.photos:
            shutil.copy(photo.path, self.images / photo.path.name)
        self.file = folder / "annotations.json"
        self.document: dict[str, Any] = json.loads(source.file.read_text())
        del self.document["format"]

    def write(self) -> Path:
        """Write the annotations."""
        self.file.write_text(json.dumps(self.document))
        return self.file

    def rows(self, category: str = "", largest_first: bool = True) -> list[Row]:
        """The annotations, of one class if it is named, the largest first."""
        ids = {c["id"]: c["name"] for c in self.document["categories"]}
        chosen = [row for row in self.document["annotations"] if category in ("", ids[row["category_id"]])]
        return sorted(chosen, key=lambda row: row["area"], reverse=largest_first)

    def photo(self, row: Row) -> str:
        """The name of an annotation's photo."""
        return next(str(i["file_name"]) for i in self.document["images"] if i["id"] == row["image_id"])

    def alone(self, category: str) -> list[Row]:
        """The annotations of a class that are the only ones in their photo, the largest first."""
        images = [row["image_id"] for row in self.document["annotations"]]
        return [row for row in self.rows(category) if images.count(row["image_id"]) == 1]

    def remove(self, row: Row) -> None:
        """Delete an annotation."""
        self.document["annotations"].remove(row)

    def category(self, name: str) -> int:
        """The id of a class."""
        return next(int(c["id"]) for c in self.document["categories"] if c["name"] == name)

    def add_photo(self, name: str, change: Callable[[Path], None], rows: list[Row]) -> None:
        """Add a photo that ``change`` writes, with copies of some annotations."""
        change(self.images / name)
        old = next(i for i in self.document["images"] if i["id"] == rows[0]["image_id"])
        number = 1 + max(i["id"] for i in self.document["images"])
        self.document["images"].append(old | {"id": number, "file_name": name})
        first = 1 + max(r["id"] for r in self.document["annotations"])
        self.document["annotations"] += [row | {"id": first + i, "image_id": number} for i, row in enumerate(rows)]

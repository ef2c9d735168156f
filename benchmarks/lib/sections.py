"""Result files of several sections, written row by row, so that a run that was stopped can go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.artifacts.metadata import tool_versions
from edgekit.files.whole_files import write_text
from edgekit.measurement.machine.system import machine

Row = dict[str, Any]


class Section:
    """A section of a result file. Rows that it has are kept, unless they were measured with other settings."""

    def __init__(self, output: Path, name: str, settings: Row) -> None:
        self.output, self.name, self.settings = output, name, json.loads(json.dumps(settings))

    def row(self, name: str, make: Callable[[], Row]) -> Row:
        """The row of a name, made and written if it is not there."""
        rows = self._read()[1]["rows"]
        if name not in rows:
            row = make()
            result, section = self._read()
            section["rows"][name] = row
            section |= {"machine": machine(), "versions": tool_versions()}
            write_text(self.output, json.dumps(result | {self.name: section}, indent=1) + "\n")
            print(self.name, name, json.dumps(row), flush=True)
            return row
        found: Row = rows[name]
        return found

    def forget(self) -> None:
        """Leave out all rows."""
        result, _ = self._read()
        result.pop(self.name, None)
        write_text(self.output, json.dumps(result, indent=1) + "\n")

    def _read(self) -> tuple[Row, Row]:
        """The whole result, and the section."""
        result: Row = json.loads(self.output.read_text()) if self.output.exists() else {}
        section = result.get(self.name, {})
        if section.get("settings") != self.settings:
            section = {"settings": self.settings, "rows": {}}
        return result, section

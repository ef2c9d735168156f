"""Result files with a part for each machine that was measured: {"machines": {name: part}}."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgekit.files.whole_files import write_text


def add(output: Path, part: dict[str, Any]) -> None:
    """Write a result file with a machine's part added or replaced; the others' stay."""
    result = json.loads(output.read_text()) if output.exists() else {"machines": {}}
    result["machines"][name_of(part["machine"])] = part
    write_text(output, json.dumps(result, indent=1) + "\n")


def name_of(machine: dict[str, Any]) -> str:
    """A machine's name: the device where there is one, else processor and cores."""
    return str(machine.get("device") or f"{machine['cpu']}, {machine['cores']} cores")

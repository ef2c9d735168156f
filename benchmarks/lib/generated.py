"""Files that scripts write from result files, and the check that they are up to date."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path


def write_or_check(texts: Mapping[Path, str]) -> int:
    """Write each text to its file; with ``--check`` on the command line only return 1 if a file has another, else 0."""
    if "--check" in sys.argv:
        return int(any(not path.exists() or path.read_text() != text for path, text in texts.items()))
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return 0

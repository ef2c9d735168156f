"""Every test that needs a device stands in the list of what was not measured, and the list names no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARKED = re.compile(r"@pytest\.mark\.gpu\ndef (test_\w+)")


def test_the_list_is_the_tests_marked_gpu() -> None:
    marked = {
        f"{file.relative_to(ROOT)}::{name}"
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in MARKED.findall(file.read_text())
    }
    assert sum(file.read_text().count("@pytest.mark.gpu\n") for file in (ROOT / "tests").rglob("*.py")) == len(marked)
    assert marked == set(re.findall(r"`(tests/\S+::test_\w+)`", (ROOT / "docs" / "jetson.md").read_text()))

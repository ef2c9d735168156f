from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_tree_names_what_exists() -> None:
    text = (ROOT / "README.md").read_text()
    block = text.split("## The code")[1].split("```")[1]
    inside = [line.split()[0] for line in block.splitlines() if line.startswith("  ")]
    assert all((ROOT / "edgekit" / name).exists() for name in inside)
    listed = {name.rstrip("/") for name in inside}
    there = {p.name for p in (ROOT / "edgekit").iterdir() if not p.name.startswith(("__", "py.typed", "assets"))}
    assert there <= listed

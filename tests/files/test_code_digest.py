"""What a cache's key changes with: what the entry is about, what makes it, and the versions that runs on."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from edgekit.deployment.assembly.base_graph import assemble
from edgekit.deployment.assembly.trunk_files import export_trunk
from edgekit.files import code_digest
from edgekit.files.code_digest import TOOLS, code_sha256, entry_key


def test_code_wherever_it_lies_counts(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "maker.py").write_text("from package.room import images\n")
    (tmp_path / "room" / "images.py").write_text("MEAN = 0.485\n")

    def digest() -> str:
        code_sha256.cache_clear()
        return code_sha256(tmp_path)

    before = digest()
    assert digest() == before
    (tmp_path / "room" / "images.py").write_text("MEAN = 0.486\n")
    edited = digest()
    (tmp_path / "room" / "images.py").rename(tmp_path / "images.py")
    moved = digest()
    (tmp_path / "images.py").unlink()
    assert len({before, edited, moved, digest()}) == 4


@pytest.mark.parametrize("tool", TOOLS)
def test_another_version_of_a_tool_counts(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = entry_key(assemble, ["x"])
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0" if name == tool else real(name))
    code_digest.installed_version.cache_clear()
    assert entry_key(assemble, ["x"]) != before
    monkeypatch.undo()
    code_digest.installed_version.cache_clear()
    assert entry_key(assemble, ["x"]) == before


def test_what_an_entry_is_about_and_its_maker_count() -> None:
    assert len({entry_key(assemble, ["x"]), entry_key(assemble, ["y"]), entry_key(export_trunk, ["x"])}) == 3


def test_the_code_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = entry_key(assemble, ["x"])
    monkeypatch.setattr(code_digest, "code_sha256", lambda: "other code")
    assert entry_key(assemble, ["x"]) != before


def test_tools_are_packages() -> None:
    assert all(importlib.metadata.version(tool) for tool in TOOLS)

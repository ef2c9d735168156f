"""What a cache's key changes with: all code that makes an entry and the versions it runs on, and nothing else."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.adaptation.features.extraction import extract
from edgekit.deployment.assembly.assembling import base_graph
from edgekit.deployment.assembly.trunk_files import write_trunk
from edgekit.files import code_digest
from edgekit.files.code_digest import PACKAGE, TOOLS, code_sha256, entry_key


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of edgekit's code."""
    copy = tmp_path / "edgekit"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    return copy


def edited(package: Path, file: str, change: Callable[[str], str], made_by: Callable[..., Any]) -> bool:
    """Whether an edit of a file changes the digest of what a function makes."""
    before = code_sha256(made_by.__module__, package)
    code_sha256.cache_clear()
    path = package / file
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))
    return code_sha256(made_by.__module__, package) != before


@pytest.mark.parametrize("made_by", [base_graph, extract], ids=lambda f: f.__name__)
def test_a_constant_that_graphs_are_made_with_counts(made_by: Callable[..., Any], package: Path) -> None:
    assert edited(package, "artifacts/detector_settings.py", lambda t: t.replace("0.485", "0.486"), made_by)


def test_code_reached_over_several_modules_counts(package: Path) -> None:
    assert edited(package, "static/nms.py", lambda t: t.replace("BLOCK = 256", "BLOCK = 128"), base_graph)
    assert edited(package, "graphs/branches.py", lambda t: t + "\nMORE = 1\n", write_trunk)
    assert edited(package, "adaptation/features/views.py", lambda t: t + "\nMORE = 1\n", extract)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: "# A comment.\n" + t + "\n# Another.\n",
        lambda t: t.replace('"""', '"""In other words: ', 1),
        lambda t: t.replace("\n\n\ndef", "\n\n\n\n\ndef"),
    ],
    ids=["comment", "docstring", "layout"],
)
def test_words_and_layout_do_not_count(change: Callable[[str], str], package: Path) -> None:
    for file in ("data/images.py", "static/static_trunk.py"):
        assert not edited(package, file, change, base_graph)


def test_code_that_has_no_part_in_it_does_not_count(package: Path) -> None:
    for file in (
        "cli/cmd_export.py",
        "demo/page.py",
        "adaptation/learning/training.py",
        "deployment/tensorrt/build.py",
    ):
        assert not edited(package, file, lambda t: t + "\nMORE = 1\n", write_trunk)


def test_moved_code_is_followed(package: Path) -> None:
    """Imported as a module, from a package, or from a package's own file; inside a function, too."""
    (package / "room").mkdir()
    (package / "room" / "__init__.py").write_text("FIRST = 1\n")
    (package / "room" / "inner.py").write_text("SECOND = 2\n")
    (package / "room" / "deep.py").write_text("THIRD = 3\n")
    (package / "maker.py").write_text(
        "import edgekit.room.deep\n\n\ndef make():\n    from edgekit.room import FIRST, inner\n"
    )
    for file in ("__init__", "inner", "deep"):
        before = code_sha256("edgekit.maker", package)
        code_sha256.cache_clear()
        (package / "room" / f"{file}.py").write_text("CHANGED = 4\n")
        assert code_sha256("edgekit.maker", package) != before, file


@pytest.mark.parametrize("tool", TOOLS)
def test_another_version_of_a_tool_counts(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = entry_key(base_graph, ["x"])
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0" if name == tool else real(name))
    code_digest.installed_version.cache_clear()
    assert entry_key(base_graph, ["x"]) != before
    monkeypatch.undo()
    code_digest.installed_version.cache_clear()
    assert entry_key(base_graph, ["x"]) == before
    assert entry_key(base_graph, ["y"]) != before


def test_tools_are_packages() -> None:
    assert all(importlib.metadata.version(tool) for tool in TOOLS)


def test_only_edgekits_own_code_can_be_followed() -> None:
    with pytest.raises(ValueError, match="pathlib"):
        code_sha256("pathlib")

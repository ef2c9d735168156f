"""README and docs: short enough, every command parses, every Python call fits, every link and file named is there."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

import edgekit
from edgekit.cli import cli
from tests.test_levels import ROOMS

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "calibration" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, kinds: Sequence[str]) -> list[str]:
    """The page's fenced blocks of some kinds, with continued lines joined."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(r"\\\n\s*", "", block) for kind, block in found if kind in kinds]


def commands(text: str) -> list[str]:
    """What stands behind ``edgekit`` in lines that run it, by itself or through ``-m``."""
    lines = [line.split(" #")[0].strip() for line in text.splitlines()]
    return [m[1] for line in lines if (m := re.match(r"(?:\$ )?(?:.* -m )?edgekit (?!-)(.*)", line))]


def documented_commands() -> list[str]:
    return [line for page in PAGES for block in blocks(page, ("", "console", "sh")) for line in commands(block)]


def test_commands_are_found_however_they_are_written() -> None:
    text = "$ edgekit doctor  # why\ntorchrun -n 2 -m edgekit adapt demo\ncd edgekit\nedgekit demo -o x"
    assert commands(text) == ["doctor", "adapt demo", "demo -o x"]


def test_the_readme_is_one_page() -> None:
    assert len(README.read_text().splitlines()) <= 90


@pytest.mark.parametrize("line", documented_commands())
def test_documented_command_parses(line: str) -> None:
    name, *arguments = shlex.split(line)
    cli.commands[name].make_context(name, arguments)


def test_every_command_is_documented() -> None:
    assert {line.split()[0] for line in documented_commands()} >= set(cli.commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_calls_fit_their_functions(page: Path) -> None:
    for block in blocks(page, ("python",)):
        for call in (node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "edgekit":
                function = inspect.signature(getattr(edgekit, call.func.attr))
                function.bind(*call.args, **{k.arg: k.value for k in call.keywords if k.arg})


def headings(page: Path) -> set[str]:
    """The page's anchors, as GitHub makes them of its headings."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not link.startswith("https://"):
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            assert target.exists(), link
            assert not anchor or anchor in headings(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_part_is_larger_than_the_whole(page: Path) -> None:
    cells = [re.fullmatch(r"(\d+) of (\d+)", cell.strip()) for cell in page.read_text().split("|")]
    assert all(int(cell[1]) <= int(cell[2]) for cell in cells if cell)


def named_in_code(page: Path) -> list[str]:
    return re.findall(r"`([^`\s]+)`", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL))


CURRENT = [page for page in PAGES if page.name != "log.md"]  # which names files as they were called then


@pytest.mark.parametrize("page", CURRENT, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    for name in named_in_code(page):
        file, _, test = name.partition("::")
        if file.split("/")[0] in ("edgekit", "tests", "benchmarks", "calibration", "docs") and "/" in file:
            assert (ROOT / file).exists(), name
            assert not test or f"def {test}(" in (ROOT / file).read_text(), name


@pytest.mark.parametrize("page", CURRENT, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_names_exist(page: Path) -> None:
    for name in re.findall(r"\bedgekit(?:\.\w+)+", " ".join(named_in_code(page))):
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_the_architecture_names_every_room_in_its_order() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    lines = re.search(r"^```$(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert lines is not None
    rooms, folders = [], [ROOT]
    for line in lines[1].strip("\n").splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        folders[depth + 1 :] = [folders[depth] / name]
        assert folders[-1].exists(), line
        if depth == 1 and folders[1].name == "edgekit":
            rooms.append(name.rstrip("/").removesuffix(".py"))
    assert rooms == [room for room in ROOMS if room != "__main__"] + ["assets"]
    packages = {p.parent for p in (ROOT / "edgekit").rglob("__init__.py")} - {ROOT / "edgekit"}
    assert all(f"  {package.name}/ " in page for package in packages)

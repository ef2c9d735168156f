"""The layout of the package: levels without circles, names that mean one thing, sizes that can be read."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "edgekit"
FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__main__.py")
LONGEST_FILE, LONGEST_FUNCTION = 250, 50


def module_of(path: Path) -> str:
    parts = ("edgekit", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


def imports_of(module: str) -> set[str]:
    """The package's modules that a module imports, also inside functions and for type checkers."""
    found = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edgekit"):
            for name in node.names:
                full = f"{node.module}.{name.name}"
                found.add(full if full in MODULES else str(node.module))
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name in MODULES}
    return found - {module, "edgekit"}


def circles(arrows: dict[str, set[str]]) -> list[set[str]]:
    """Groups of nodes that reach each other (strongly connected components of two or more)."""

    def reach(start: str) -> set[str]:
        seen, left = set(), [start]
        while left:
            for following in arrows.get(left.pop(), set()) - seen:
                seen.add(following)
                left.append(following)
        return seen

    reached = {node: reach(node) for node in arrows}
    in_circles = [node for node in arrows if node in reached[node]]
    groups = {frozenset(n for n in in_circles if n in reached[node] and node in reached[n]) for node in in_circles}
    return [set(group) for group in groups]


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles({module: imports_of(module) for module in MODULES}) == []


@pytest.mark.parametrize("depth", [2, 3])
def test_no_rooms_import_each_other_in_a_circle(depth: int) -> None:
    """Rooms are folders of the package (depth 2) and the folders in them (depth 3)."""

    def room_of(module: str) -> str:
        folder = module.split(".")[:-1][:depth]
        return ".".join(folder) if len(folder) > 1 else module

    arrows: dict[str, set[str]] = defaultdict(set)
    for module in MODULES.keys() - {"edgekit"}:
        arrows[room_of(module)] |= {room_of(i) for i in imports_of(module)} - {room_of(module)}
    assert circles(arrows) == []


def test_no_file_name_twice() -> None:
    named = defaultdict(list)
    for path in FILES:
        if path.name != "__init__.py":
            named[path.name].append(str(path.relative_to(PACKAGE)))
    assert {name: paths for name, paths in named.items() if len(paths) > 1} == {}


def test_no_public_class_or_function_name_twice() -> None:
    named = defaultdict(list)
    for module, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
                named[node.name].append(module)
    assert {name: modules for name, modules in named.items() if len(modules) > 1} == {}


def test_files_and_functions_can_be_read() -> None:
    long_files = [m for m, path in MODULES.items() if len(path.read_text().splitlines()) > LONGEST_FILE]
    long_functions = [
        f"{module}.{node.name}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert (long_files, long_functions) == ([], [])


def test_every_file_says_what_it_does() -> None:
    silent = [m for m, tree in TREES.items() if tree.body and not ast.get_docstring(tree)]
    first_lines = {m: (ast.get_docstring(tree) or " ").splitlines()[0] for m, tree in TREES.items()}
    asking = [m for m, line in first_lines.items() if line.endswith("?")]
    assert (silent, asking) == ([], [])

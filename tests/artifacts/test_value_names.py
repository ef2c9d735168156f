"""The names of graphs' values stand in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from edgekit.artifacts import value_names
from edgekit.artifacts.value_names import IMAGES, INNER, OUTPUTS

PACKAGE = Path(value_names.__file__).parents[1]
ROOMS = ("runtime", "static", "deployment/assembly", "deployment/edits", "deployment/precision", "deployment/tensorrt")


def literals(path: Path) -> set[str]:
    return {
        n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant) and type(n.value) is str
    }


def test_no_other_file_has_the_names_of_inner_values() -> None:
    files = {path: literals(path) & {*INNER} for path in PACKAGE.rglob("*.py")}
    assert [path for path, names in files.items() if names] == [Path(value_names.__file__)]


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_that_handles_graphs_has_the_names_of_inputs_and_outputs(room: str) -> None:
    found = {p.name: names for p in (PACKAGE / room).rglob("*.py") if (names := literals(p) & {IMAGES, *OUTPUTS})}
    assert found in ({}, {"calibration.py": {IMAGES}})  # a key of its table

"""The order of the packages, and what the device path must not import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "edgekit"
# A module imports only from rooms to its left (errors and progress from anywhere).
ROOMS = ["errors", "progress", "files", "processes", "artifacts", "data", "model", "graphs", "runtime", "static"]
ROOMS += ["inference", "measurement", "comparison", "deployment", "adaptation", "report", "checking", "demo", "cli"]
ROOMS += ["__main__"]
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def room(module: str) -> int:
    return ROOMS.index(module.split(".")[1])


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= (
                {f"{node.module}.{a.name}" for a in node.names} if node.module == "edgekit" else {node.module or ""}
            )
        elif isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
    return {n for n in names if n.startswith("edgekit.") and n != "edgekit.__version__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_from_the_left(path: Path) -> None:
    own = room(".".join(("edgekit", *path.relative_to(PACKAGE).with_suffix("").parts)))
    wrong = [name for name in imported(path) if room(name) > own]
    assert not wrong, f"{path.name} imports from a later room: {wrong}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_says_what_it_is_and_stays_small(path: Path) -> None:
    text = path.read_text()
    assert not text or ast.get_docstring(ast.parse(text)), f"{path.name} has no docstring"
    assert len(text.splitlines()) <= 300


def test_device_path_runs_without_torch(adapted_onnx: Path, tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["torch"] = None  # any import of torch raises
from edgekit.cli import main
model = {str(adapted_onnx)!r}
assert main(["predict", model, {str(PACKAGE / "assets" / "verify" / "0.jpg")!r}, "--json"]) == 0
assert main(["bench", model, "--runs", "1", "--json"]) == 0
assert main(["inspect", model, "--json"]) == 0
folder, photos = {str(tmp_path)!r}, {str(PACKAGE / "assets" / "verify")!r}
assert main(["export", model, "-o", folder + "/half.onnx", "--precision", "fp16", "--triton", folder + "/served"]) == 0
int8 = ["--precision", "int8", "--keep", "none", "--calibration", photos]
assert main(["export", model, "-o", folder + "/int8.onnx", *int8, "--no-verify"]) == 0
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

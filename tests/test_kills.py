"""Commands killed just before each of their file operations: what is there is whole, and the next run finishes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.demo.photo_sets import write_demo_set

ROOT = Path(__file__).parent.parent


def killed(name: str, materials: Path, cache: Path, most: int | None = None) -> dict[str, int]:
    """How often a scenario was killed, of how many operations; fails where a kill left something unusable."""
    command = [sys.executable, "-m", "tests.killer", name, str(materials), *([] if most is None else [str(most)])]
    few_threads = {"OMP_NUM_THREADS": "1", "EDGEKIT_CACHE": str(cache)}
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **few_threads}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    result: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.fixture
def photos(tmp_path: Path) -> None:
    write_demo_set("new-train", 2, tmp_path / "photos", seed=1)


@pytest.fixture
def graphs(tmp_path: Path, base_onnx: Path) -> None:
    shutil.copy(base_onnx, tmp_path / "base.onnx")


@pytest.mark.parametrize(("name", "most"), [("export", 4), ("predict", 4), ("parts", 2), ("install", 3), ("adapt", 1)])
@pytest.mark.usefixtures("photos", "graphs")
def test_some_operations(name: str, most: int, tmp_path: Path, cache: Path) -> None:
    assert killed(name, tmp_path, cache, most)["kills"] == most


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least"), [("export", 20), ("predict", 12), ("parts", 20), ("install", 12), ("adapt", 10)]
)
@pytest.mark.usefixtures("photos", "graphs")
def test_every_operation(name: str, least: int, tmp_path: Path, cache: Path) -> None:
    result = killed(name, tmp_path, cache)
    assert result["kills"] == result["operations"] >= least

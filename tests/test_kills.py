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


@pytest.mark.parametrize("name", ["export", "predict"])
def test_every_operation_of_quick_commands(name: str, tmp_path: Path, cache: Path) -> None:
    result = killed(name, tmp_path, cache)
    assert result["kills"] == result["operations"] >= 15


@pytest.mark.usefixtures("photos")
def test_some_operations_of_adapt(tmp_path: Path, cache: Path) -> None:
    assert killed("adapt", tmp_path, cache, 3)["kills"] == 3


@pytest.mark.usefixtures("graphs")
def test_some_operations_of_masks_found(tmp_path: Path, cache: Path) -> None:
    assert killed("masks", tmp_path, cache, 3)["kills"] == 3


@pytest.mark.slow
@pytest.mark.usefixtures("photos")
def test_every_operation_of_adapt(tmp_path: Path, cache: Path) -> None:
    result = killed("adapt", tmp_path, cache)
    assert result["kills"] == result["operations"] >= 8


@pytest.mark.slow
@pytest.mark.usefixtures("graphs")
def test_every_operation_of_masks_found(tmp_path: Path, cache: Path) -> None:
    result = killed("masks", tmp_path, cache)
    assert result["kills"] == result["operations"] >= 10

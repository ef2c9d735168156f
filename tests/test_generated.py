"""What scripts write from result files is up to date: tables of README and docs/results.md, whole pages of docs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("script", ["readme_tables", "results_page", "benchmarks_page", "growth_page"])
def test_it_is_what_the_result_files_say(script: str) -> None:
    command = ["-m", f"benchmarks.pages.{script}"]
    done = subprocess.run([sys.executable, *command, "--check"], cwd=ROOT)
    assert done.returncode == 0, f"run: python {' '.join(command)}"

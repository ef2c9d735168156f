"""docs/latency.md and its plots are what their script makes of the results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_page_is_that_of_the_result_file() -> None:
    done = subprocess.run([sys.executable, ROOT / "benchmarks" / "growth_page.py", "--check"])
    assert done.returncode == 0, "run: python benchmarks/growth_page.py"

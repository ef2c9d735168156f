"""The console script, before a command runs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

NOTE = """
import os, sys
from edgekit import __main__
loaded = "torch" in sys.modules
__main__.main = lambda: print(loaded, os.environ.get("GOMP_SPINCOUNT"))
__main__.run()
"""


@pytest.mark.parametrize(
    ("given", "command", "spins"),
    [
        ({}, "adapt", "1000"),
        ({}, "bench", "None"),
        ({"GOMP_SPINCOUNT": "7"}, "adapt", "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "adapt", "None"),
    ],
)
def test_threads_do_not_spin_for_long_unless_the_user_says_so(given: dict[str, str], command: str, spins: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", NOTE, command], capture_output=True, text=True, env=kept | given, check=True
    )
    assert done.stdout.split() == ["False", spins]  # torch reads it when it is imported

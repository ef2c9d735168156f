"""``python -m edgekit`` and the console script."""

import os
import sys

from edgekit.cli import main

# How often a thread of PyTorch's OpenMP looks for work before it sleeps. By default it looks 300,000 times, for
# milliseconds: with other programs on the cores, whose threads it waits for, that was 7 times the CPU time of the same
# detections (docs/log.md). This is still long enough for the pause between two operations.
SPINS = "10000"


def run() -> None:
    """Run the command line and exit with its code."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read when PyTorch is imported, which only commands do
    sys.exit(main())


if __name__ == "__main__":
    run()

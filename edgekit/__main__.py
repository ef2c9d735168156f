"""``python -m edgekit`` and the console script."""

import os
import sys

from edgekit.cli import main

# How often a thread of PyTorch's OpenMP looks for work before it sleeps. By default it looks 300,000 times, for
# milliseconds: beside other programs, whose cores it waits for, training took 8 times the CPU time (docs/log.md).
SPINS = "1000"


def run() -> None:
    """Run the command line and exit with its code."""
    # PyTorch, which only commands import, reads it then. `bench` times it as it is.
    if "OMP_WAIT_POLICY" not in os.environ and sys.argv[1:2] != ["bench"]:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    sys.exit(main())


if __name__ == "__main__":
    run()

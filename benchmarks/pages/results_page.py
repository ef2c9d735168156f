"""Write the tables of docs/results.md from the result files; ``--check`` only says whether they are up to date.

python -m benchmarks.pages.results_page [--check]
"""

from __future__ import annotations

import json
import sys

from benchmarks.lib.generated import with_tables, write_or_check
from benchmarks.lib.paths import DOCS, RESULTS
from benchmarks.pages import adaptation_tables, export_tables

PAGE = DOCS / "results.md"


def main() -> int:
    return write_or_check({PAGE: with_tables(PAGE.read_text(), tables())})


def tables() -> dict[str, str]:
    """The page's tables by name."""
    results = {file.stem: json.loads(file.read_text()) for file in RESULTS.glob("*.json")}
    return {
        "demo": adaptation_tables.demo_table(results["demo"]),
        "demo latency": adaptation_tables.latency_table(results["demo"]),
        "methods, scenes": adaptation_tables.methods_table(results["methods_demo"], "mixed", "old only"),
        "methods, photos": adaptation_tables.methods_table(results["methods_msrc"], "test", "test"),
        "R50-FPN": adaptation_tables.r50_table(results["r50_adaptation"]),
        "precision": export_tables.precision_table(results["precision"], results["r50_parity"]),
        "R50-FPN latency": export_tables.latency_table(results["r50_latency"], results["r50_floor"]),
        "R50-FPN assembly": export_tables.assembly_table(results["r50_assembly"]),
        "compiled": export_tables.compile_table(results["compile_matrix"]),
    }


if __name__ == "__main__":
    sys.exit(main())

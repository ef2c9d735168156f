"""Write the README's tables from the result files; ``--check`` only says whether they are up to date.

python -m benchmarks.pages.readme_tables [--check]
"""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.lib.generated import lines, with_tables, write_or_check
from benchmarks.lib.paths import RESULTS, ROOT
from benchmarks.pages.adaptation_tables import ap_pair, changed, false_new, runs, seconds

README = ROOT / "README.md"
METHODS = {
    "edgekit, exact (default)": "**edgekit**",
    "edgekit, prototypes, no training": "edgekit, `--init prototype --epochs 0`",
    "TFA-style, balanced with old data": "TFA-style fine-tuning, with old data",
    "torchvision's loop": "torchvision's training loop",
    "all data, all labels (upper bound)": "upper bound: all old data, all labels",
}
WAYS = (
    "edgekit int8, onnxruntime CPU",
    "edgekit fp32, onnxruntime CPU",
    "torchvision's export, onnxruntime CPU",
    "torchvision, torch.compile",
    "torchvision, eager",
)


def main() -> int:
    methods, peers = (json.loads((RESULTS / f"{name}.json").read_text()) for name in ("methods_demo", "peers"))
    tables = {"methods": methods_table(methods), "latency": latency_table(peers)}
    return write_or_check({README: with_tables(README.read_text(), tables)})


def methods_table(result: dict[str, Any]) -> str:
    """Five ways to add classes, with the most photos that were measured."""
    shots = max(r["shots"] for r in result["rows"])
    base = ap_pair(runs(result, next(iter(METHODS)), shots), "mixed", "old_before")
    what = f"{', '.join(result['classes'])} added from {shots} drawn scenes"
    columns = [what, f"old AP (base: {base})", "old detections changed", "new AP"]
    table = []
    for method, title in METHODS.items():
        own = runs(result, method, shots)
        old, new = ap_pair(own, "mixed", "old"), ap_pair(own, "mixed", "new")
        table.append([title, old, changed(own), new, false_new(own, "old only"), seconds(own)])
    return lines([*columns, "false new detections per old-only photo", "seconds"], table)


def latency_table(result: dict[str, Any]) -> str:
    """Median milliseconds of five ways to run the embedded model, on every machine that was measured."""
    machines = result["machines"]
    size = "x".join(map(str, next(iter(machines.values()))["input_size"]))
    table = [[way, *(_median(machine["rows"].get(way)) for machine in machines.values())] for way in WAYS]
    return lines([f"embedded model at {size}, batch 1, median ms", *machines], table)


def _median(row: dict[str, Any] | None) -> str:
    return f"{row['p50_ms']:.1f}" if row and "p50_ms" in row else ""


if __name__ == "__main__":
    sys.exit(main())

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
INT8 = "edgekit int8, onnxruntime CPU"
WAYS = {  # by their names in peers.json, those in demo.json
    INT8: "adapted-int8.onnx (edgekit, 8 bits)",
    "edgekit fp32, onnxruntime CPU": "adapted.onnx (edgekit)",
    "edgekit fp32 in parts, onnxruntime CPU": "adapted/ (edgekit)",
    "torchvision's export, onnxruntime CPU": "adapted.onnx (torchvision's export)",
    "torchvision, torch.compile": None,
    "torchvision, eager": None,
}


def main() -> int:
    names = ("methods_demo", "peers", "demo")
    methods, peers, demo = (json.loads((RESULTS / f"{name}.json").read_text()) for name in names)
    tables = {"methods": methods_table(methods), "latency": latency_table(peers, demo)}
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


def latency_table(peers: dict[str, Any], demo: dict[str, Any]) -> str:
    """Median milliseconds of the embedded model on every machine that was measured, and of the demo's adapted one."""
    machines = peers["machines"]
    size = "x".join(map(str, next(iter(machines.values()))["input_size"]))
    adapted = {row["artifact"]: row for row in demo["latency"]}
    table = []
    for way, form in WAYS.items():
        title = f"{way} ({_price(demo)})" if way == INT8 else way
        table.append([title, *(_median(machine["rows"].get(way)) for machine in machines.values())])
        table[-1].append(_median(adapted.get(form)))
    about = f"adapted model of `make demo`, {demo['machine']['cpu']}, {demo['machine']['cores']} cores"
    return lines([f"embedded model at {size}, batch 1, median ms", *machines, about], table)


def _price(demo: dict[str, Any]) -> str:
    """What 8 bits cost the adapted model."""
    before, after = ([100 * demo[form][part]["box"]["AP50"] for part in ("old", "new")] for form in ("adapted", "int8"))
    return f"adapted model: old / new box AP50 {after[0]:.1f} / {after[1]:.1f}, fp32 {before[0]:.1f} / {before[1]:.1f}"


def _median(row: dict[str, Any] | None) -> str:
    return f"{row['p50_ms']:.1f}" if row and "p50_ms" in row else ""


if __name__ == "__main__":
    sys.exit(main())

"""Write the README's tables from the result files; ``--check`` only says whether they are up to date.

python benchmarks/readme_tables.py [--check]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def main() -> int:
    readme = ROOT / "README.md"
    text = readme.read_text()
    written = with_tables(text)
    if "--check" in sys.argv:
        return int(text != written)
    readme.write_text(written)
    return 0


def with_tables(text: str) -> str:
    """The README's text with each marked table replaced by the result files' figures."""
    demo = json.loads((RESULTS / "demo.json").read_text())
    for name, table in {"demo": demo_table(demo), "latency": latency_table(demo)}.items():
        start, end = f"<!-- table: {name} -->\n", "<!-- end -->"
        before, _, rest = text.partition(start)
        text = before + start + table + end + rest.partition(end)[2]
    return text


def demo_table(demo: dict[str, Any]) -> str:
    """AP before and after, edgekit beside naive fine-tuning."""
    photos, epochs = demo["photos"], demo["epochs"]
    head = (
        f"Chicken and frog added to a model of {len(demo['base']['per_class'])} classes "
        f"from {photos['new-train']} photos, {epochs} epochs; "
        f"AP50 (%) on {photos['mixed-test']} photos of old and new objects:\n\n"
    )
    columns = ["", "old, box", "old, mask", "new, box", "new, mask", "false new objects a photo of old ones", "seconds"]
    rows = [
        ["base model", *_ap50(demo["base_on_mixed"]), "", ""],
        [
            "**edgekit**",
            *_ap50(demo["adapted"]),
            f"{demo['false_new_per_base_image']:.2f}",
            _whole(demo["adapt_seconds"]),
        ],
        [
            "torchvision's fine-tuning of both predictors",
            *_ap50(demo["naive"]),
            f"{demo['naive_false_new_per_base_image']:.2f}",
            _whole(demo["torchvision_loop_seconds"]),
        ],
    ]
    changed = (
        f"\nOld detections changed: {demo['old_detections_changed']} of {demo['old_detections_compared']}, "
        "compared bit by bit in PyTorch and in onnxruntime.\n"
    )
    return head + _table(columns, rows) + changed


def latency_table(demo: dict[str, Any]) -> str:
    """Milliseconds a photo of each form of the model."""
    first = demo["latency"][0]
    cpu = f"{first['machine']['cpu']}, {first['machine']['cores']} cores"
    head = (
        f"Milliseconds from decoded photo to pasted masks at {'x'.join(map(str, first['input_size']))}, "
        f"{first['runs']} interleaved runs, {cpu}:\n\n"
    )
    rows = [
        [r["artifact"], r["runtime"], f"{r['p50_ms']:.1f}", f"{r['p90_ms']:.1f}", f"{r['p99_ms']:.1f}"]
        for r in demo["latency"]
    ]
    return head + _table(["model", "runtime", "p50", "p90", "p99"], rows)


def _ap50(evaluation: dict[str, Any]) -> list[str]:
    parts = [evaluation["old"], evaluation["new"]]
    return [f"{100 * part[kind]['AP50']:.1f}" if part else "" for part in parts for kind in ("box", "mask")]


def _whole(seconds: float) -> str:
    return f"{seconds:.0f}"


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())

"""Write docs/latency.md and its plots from benchmarks/results/latency_growth.json; ``--check`` only says whether they
are up to date.

python -m benchmarks.pages.growth_page [--check]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.lib.generated import lines, write_or_check
from benchmarks.lib.paths import DOCS, RESULTS
from benchmarks.lib.svg_files import as_file
from edgekit.report.plots import curves

RESULT = RESULTS / "latency_growth.json"
PAGE = DOCS / "latency.md"
PLOTS = DOCS / "latency"
TITLES = {
    "size": ("Input size", "pixels of the input's side"),
    "proposals": ("Proposals (`--proposals`)", "proposals"),
    "detections": ("Detection slots (`--detections`)", "slots"),
    "classes": ("Classes", "classes"),
    "batch": ("Images per run (`--batch`)", "images per run"),
}
FIGURES = {"inference_p50_ms": "inference", "p50_ms": "photo to pasted masks"}
HEAD = """# How latency grows

Written by `benchmarks/pages/growth_page.py` from `benchmarks/results/latency_growth.json`; do not edit it.

Model: {model}, fp32 in onnxruntime on {cpu}, {threads} threads, with its default settings unless a table varies them.
Medians of {runs} runs; the rows of a table were timed in turns. The table of classes uses the same architecture with
random weights, which detect little, so few masks are pasted. AP is measured on {scenes} drawn scenes.
"""


def main() -> int:
    return write_or_check(files(json.loads(RESULT.read_text())))


def files(result: dict[str, Any]) -> dict[Path, str]:
    """The page and its plots, as text by path."""
    machine = result["machine"]
    page = [HEAD.format(**result, cpu=machine["cpu"], threads=machine["threads"])]
    plots = {}
    for name, (title, unit) in TITLES.items():
        rows = result["tables"][name]
        xs = [float(row[name].split("x")[0]) for row in rows]
        series = {text: (xs, [row[figure] for row in rows]) for figure, text in FIGURES.items()}
        plots[PLOTS / f"{name}.svg"] = as_file(curves(series, unit, "ms"))
        page += [f"## {title}\n", table(name, rows), f"![Milliseconds by {unit}](latency/{name}.svg)\n"]
        if name == "proposals":
            plots[PLOTS / "proposals-ap.svg"] = as_file(precision_by_time(rows))
            page.append("![AP by ms](latency/proposals-ap.svg)\n")
    return {PAGE: "\n".join(page), **plots}


def precision_by_time(rows: list[dict[str, Any]]) -> str:
    """A plot of the AP over the time that it takes."""
    by_speed = sorted(rows, key=lambda row: float(row["inference_p50_ms"]))
    ms = [row["inference_p50_ms"] for row in by_speed]
    lowest = 5 * (min(row["mask_AP"] for row in by_speed) // 5)
    series = {f"{kind} AP": (ms, [row[f"{kind}_AP"] for row in by_speed]) for kind in ("box", "mask")}
    return curves(series, "ms, inference", "AP, %", lowest)


def table(name: str, rows: list[dict[str, Any]]) -> str:
    """One table: every figure of a row, and how many times as long it takes as the first."""
    figures = [key for key in rows[0] if key != name]
    first = rows[0]["inference_p50_ms"]
    cells = [[row[name], *(f"{row[f]:.1f}" for f in figures), f"{row['inference_p50_ms'] / first:.2f}"] for row in rows]
    return lines(
        [name, *(f.replace("_", " ").replace(" an ", " per ") for f in figures), "inference relative to the first row"],
        cells,
    )


if __name__ == "__main__":
    sys.exit(main())

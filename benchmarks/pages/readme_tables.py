"""Write the README's tables from the result files; ``--check`` only says whether they are up to date.

python -m benchmarks.pages.readme_tables [--check]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.lib.generated import write_or_check
from benchmarks.lib.paths import RESULTS, ROOT
from benchmarks.pages import benchmarks_page, export_tables
from benchmarks.pages.export_tables import lines


def main() -> int:
    readme = ROOT / "README.md"
    return write_or_check({readme: with_tables(readme.read_text())})


def with_tables(text: str) -> str:
    """The README's text with each marked table replaced by the result files' figures."""
    results = {file.stem: json.loads(file.read_text()) for file in RESULTS.glob("*.json")}
    demo = results["demo"]
    tables = {
        "demo": demo_table(demo),
        "latency": latency_table(demo),
        "methods, scenes": methods_table(results["methods_demo"], "mixed", "old only"),
        "methods, photos": methods_table(results["methods_msrc"], "test", "test"),
        "R50-FPN": r50_table(results["r50_adaptation"]),
        "precision": export_tables.precision_table(results["precision"], results["r50_parity"]),
        "R50-FPN latency": export_tables.latency_table(results["r50_latency"], results["r50_floor"]),
        "R50-FPN assembly": export_tables.assembly_table(results["r50_assembly"]),
        "peers": benchmarks_page.readme_table(results["peers"]),
        "compiled": export_tables.compile_table(results["compile_matrix"]),
    }
    for name, table in tables.items():
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
            _whole(demo["loop_seconds"] * epochs / demo["loop_epochs"]),
        ],
    ]
    changed = (
        f"\nOld detections changed: {demo['old_detections_changed']} of {demo['old_detections_compared']}, "
        "compared bit by bit in PyTorch and in onnxruntime. "
        f"Exporting the trunk took {demo['trunk_export_seconds']:.0f} s more, once a base model. "
        f"torchvision's loop trained {demo['loop_epochs']} epochs; its seconds are extrapolated to {epochs}.\n"
    )
    return head + lines(columns, rows) + changed


def latency_table(demo: dict[str, Any]) -> str:
    """Milliseconds a photo of each form of the model."""
    first = demo["latency"][0]
    cpu = f"{demo['machine']['cpu']}, {demo['machine']['cores']} cores"
    head = (
        f"Milliseconds from decoded photo to pasted masks at {'x'.join(map(str, first['input_size']))}, "
        f"{first['runs']} interleaved runs, {cpu}:\n\n"
    )
    rows = [
        [r["artifact"], r["runtime"], f"{r['p50_ms']:.1f}", f"{r['p90_ms']:.1f}", f"{r['p99_ms']:.1f}"]
        for r in demo["latency"]
    ]
    return head + lines(["model", "runtime", "p50", "p90", "p99"], rows)


def methods_table(result: dict[str, Any], test: str, old_only: str) -> str:
    """New classes' AP by the number of photos; what became of the old ones at the most photos."""
    rows = result["rows"]
    shots = sorted({r["shots"] for r in rows})
    methods = list(dict.fromkeys(r["method"] for r in rows))

    def mean(method: str, count: int, figure: Callable[[dict[str, Any]], float | None]) -> str:
        values = [figure(r) for r in rows if r["method"] == method and r["shots"] == count]
        known = [v for v in values if v is not None]
        return f"{sum(known) / len(known):.1f}" if known else ""

    def pair(method: str, count: int, test: str, part: str) -> str:
        def figure(kind: str) -> str:
            return mean(method, count, lambda r: r[test][part][f"{kind}_AP"])

        return f"{figure('box')} / {figure('mask')}"

    seeds = f"{result['seeds']} seed{'s' * (result['seeds'] > 1)}"
    head = f"AP (%) of the new classes {' and '.join(result['classes'])}, boxes / masks, by the number of photos; "
    head += f"{result['about']}; mean of {seeds}:\n\n"
    new = [[m, *(pair(m, c, test, "new") for c in shots)] for m in methods]
    text = head + lines(["", *(f"{c} photo{'s' * (c > 1)}" for c in shots)], new)

    most = shots[-1]
    other = [t for t in rows[0] if t == "other drawing style"]
    columns = ["", "old AP, boxes / masks", "old detections changed", "false new a photo without"]
    columns += [f"new AP, {t}" for t in other] + ["seconds", "peak MB"]
    table = [["base model", pair(methods[0], most, test, "old_before"), *[""] * (len(columns) - 2)]]
    for m in methods:
        own = [r for r in rows if r["method"] == m and r["shots"] == most]
        tests = [t for t in own[0] if isinstance(own[0][t], dict)]
        changed = f"{sum(r[t]['old_changed'] for r in own for t in tests)} of "
        changed += f"{sum(r[t]['old_compared'] for r in own for t in tests)}"
        false = sum(r[old_only]["false_new_a_photo"] for r in own) / len(own)
        row = [m, pair(m, most, test, "old"), changed, f"{false:.2f}", *(pair(m, most, t, "new") for t in other)]
        table.append([*row, f"{min(r['seconds'] for r in own):.0f}", f"{max(r['peak_rss_mb'] for r in own)}"])
        if m == methods[0]:
            table.append(_best_only_row(f"{m} with `--best-only`", result["best_only"], len(columns)))
    threads = result["machine"]["threads"]
    note = f"\nWith {most} photos (seconds: features and training, the least of the seeds' runs on {threads} thread, "
    return text + note + "with other work beside them):\n\n" + lines(columns, table)


def _best_only_row(name: str, rows: list[dict[str, Any]], columns: int) -> list[str]:
    def mean(part: str, kind: str) -> str:
        return f"{sum(r[part][f'{kind}_AP'] for r in rows) / len(rows):.1f}"

    old, new = (" / ".join(mean(part, kind) for kind in ("box", "mask")) for part in ("old", "new"))
    return [name, old, f"(new AP {new})", *[""] * (columns - 3)]


def r50_table(result: dict[str, Any]) -> str:
    """Adaptation against torchvision's loop on R50-FPN, machine by machine."""
    machines = result["machines"]
    first = next(iter(machines.values()))
    own = first["adapt"]
    head = f"Mask R-CNN R50-FPN (random weights) at {'x'.join(map(str, first['size']))}, {own['photos']} photos to "
    head += f"learn from and {own['held_out_photos']} held out, {own['epochs']} epochs; seconds and peak MB:\n\n"
    columns = ["", "`edgekit adapt`, whole, with the trunk's export", "peak MB", "torchvision's loop, extrapolated"]
    rows = []
    for name, column in machines.items():
        own, loop = column["adapt"], column["torchvision_loop"]
        parts = ", ".join(f"{part} {own[f'{part}_seconds']:.0f}" for part in ("trunk", "feature", "training", "proof"))
        a_photo = sum(t["seconds_a_photo"] for t in loop) / len(loop)
        extrapolated = f"{column['torchvision_loop_seconds_extrapolated']} (from {a_photo:.2f} a photo)"
        row = [name, f"{own['seconds']:.0f} ({parts})", f"{own['peak_rss_mb']}", extrapolated]
        rows.append([*row, f"{max(t['peak_rss_mb'] for t in loop)}", f"{column['times_faster']}"])
    most = max(column["adapt"]["largest_view_mb"] for column in machines.values())
    note = f"\nAt most {most} MB of cache a photo and view.\n"
    return head + lines([*columns, "peak MB", "times as fast"], rows) + note


def _ap50(evaluation: dict[str, Any]) -> list[str]:
    parts = [evaluation["old"], evaluation["new"]]
    return [f"{100 * part[kind]['AP50']:.1f}" if part else "" for part in parts for kind in ("box", "mask")]


def _whole(seconds: float) -> str:
    return f"{seconds:.0f}"


if __name__ == "__main__":
    sys.exit(main())

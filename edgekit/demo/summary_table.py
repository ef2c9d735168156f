"""The demo's figures as tables for a terminal."""

from __future__ import annotations

from rich.table import Table

from edgekit.demo.summary import DemoSummary
from edgekit.report.bench_tables import latency_sheet
from edgekit.report.sheets import Sheet, rich_table


def demo_tables(summary: DemoSummary) -> list[Table]:
    """AP and false detections in one table, and the latencies."""
    extrapolated = f"{summary.loop_seconds_for_all_epochs:.0f}"
    models = [
        ("base", summary.base_on_mixed, None, ""),
        ("edgekit", summary.adapted, summary.false_new_per_base_image, f"{summary.adapt_seconds:.0f}"),
        ("edgekit, int8", summary.int8, summary.int8_false_new_per_base_image, f"+ {summary.int8_export_seconds:.0f}"),
        ("naive", summary.naive, summary.naive_false_new_per_base_image, extrapolated),
    ]
    rows = []
    for name, result, count, seconds in models:
        parts = [part for half in (result.old, result.new) for part in (half and half.box, half and half.mask)]
        wrong = "" if count is None else f"{count:.2f}"
        rows.append((name, *(f"{100 * part.AP50:.1f}" if part else "" for part in parts), wrong, seconds))
    title = f"AP50 (%) on {summary.adapted.images} photos of old and new objects"
    columns = ("model", "old box", "old mask", "new box", "new mask", "false new per base photo", "seconds")
    table = rich_table(Sheet(title, columns, tuple(rows), styles=("", "bold", "", "")))
    kept = f"{summary.old_detections_changed} of {summary.old_detections_compared} old detections changed"
    loop = f"naive: trained {summary.loop_epochs} epochs, seconds extrapolated to {summary.epochs}"
    table.caption = (
        f"{kept} (fp32, PyTorch and onnxruntime, base-test and mixed-test); {loop}; int8: seconds of the conversion"
    )
    return [table, rich_table(latency_sheet(summary.latency, summary.machine))]

"""The demo's figures as tables for a terminal."""

from __future__ import annotations

from rich.table import Table

from edgekit.demo.summary import DemoSummary
from edgekit.measurement.evaluate import Evaluation
from edgekit.report.bench_tables import latency_table


def demo_tables(summary: DemoSummary) -> list[Table]:
    """AP50 and seconds of the models in one table, and the latencies."""
    table = Table(title=f"AP50 (%) on {summary.adapted.images} photos of old and new objects")
    table.add_column("model")
    for column in ("old box", "old mask", "new box", "new mask", "false new per base photo", "seconds"):
        table.add_column(column, justify="right")
    rows: list[tuple[str, Evaluation, str, str]] = [
        ("base", summary.base_on_mixed, "", ""),
        ("edgekit", summary.adapted, f"{summary.false_new_per_base_image:.2f}", f"{summary.adapt_seconds:.0f}"),
        (
            "naive",
            summary.naive,
            f"{summary.naive_false_new_per_base_image:.2f}",
            f"{summary.loop_seconds_for_all_epochs:.0f}",
        ),
    ]
    for name, result, false_new, seconds in rows:
        figures = []
        for part in (result.old, result.new):
            figures += [f"{100 * part.box.AP50:.1f}" if part else ""]
            figures += [f"{100 * part.mask.AP50:.1f}" if part and part.mask else ""]
        table.add_row(name, *figures, false_new, seconds, style="bold" if name == "edgekit" else "")
    kept = f"{summary.old_detections_changed} of {summary.old_detections_compared} old detections changed"
    loop = f"naive: trained {summary.loop_epochs} epochs, seconds extrapolated to {summary.epochs}"
    table.caption = f"{kept} (PyTorch and onnxruntime, base-test and mixed-test); {loop}"
    return [table, latency_table(summary.latency, summary.machine)]

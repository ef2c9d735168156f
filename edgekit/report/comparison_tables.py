"""The comparison of two model files as tables for a terminal."""

from __future__ import annotations

from rich.table import Table

from edgekit.comparison.compare import Comparison
from edgekit.comparison.tolerance import MIN_SCORE
from edgekit.report.tables import ap_text, two_columns


def comparison_tables(result: Comparison) -> list[Table]:
    """What matches and how well, then each stage."""
    seen, bounds = result.verification.parity, result.verification.tolerance
    table = two_columns(f"{result.a} and {result.b}")
    forms = [f"{p} in {r}" for p, r in zip(result.precisions, result.runtimes, strict=True)]
    table.add_row("compared", f"{forms[0]} with {forms[1]}, at {result.input_size[0]}x{result.input_size[1]}")
    matched = f"{seen.matched} of {seen.compared} detections on {seen.images} photos, {seen.extra} only in the second"
    table.add_row("matched", f"{matched} ({result.matched_share:.2%})")
    limits = f"IoU {bounds.min_iou}, score {bounds.max_score_difference:g}, mask {bounds.max_mask_difference:g}"
    table.add_row("tolerance", f"{bounds.precision}: {limits}; detections above score {MIN_SCORE}")
    table.add_row("largest score difference", f"{seen.largest_score_difference:.2g}")
    table.add_row("largest box difference", f"{seen.largest_box_difference:.2g} pixels")
    if seen.mean_mask_iou is not None:
        table.add_row("mask IoU", f"mean {seen.mean_mask_iou:.4f}, smallest {seen.smallest_mask_iou:.4f}")
    if result.verification.reference and result.verification.other:
        table.add_row("AP", f"{ap_text(result.verification.reference)} and {ap_text(result.verification.other)}")
    for note in result.notes:
        table.add_row("note", note)
    table.add_row("differ from", result.differs_at or result.stages_missing or "no stage on")
    if not result.stages:
        return [table]
    rows = Table(title="stage by stage, on the photos that differ most", title_justify="left")
    rows.add_column("stage")
    rows.add_column("measure")
    for column in ("difference", "tolerance"):
        rows.add_column(column, justify="right")
    for stage in result.stages:
        style = "bold red" if stage.differs else ""
        rows.add_row(stage.stage, stage.measure, f"{stage.difference:.2g}", f"{stage.tolerance:.2g}", style=style)
    return [table, rows]

"""Results as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from edgekit.report.bench_tables import latency_table

if TYPE_CHECKING:
    from edgekit.adaptation.adapt import Adaptation
    from edgekit.demo.summary import DemoSummary
    from edgekit.deployment.export.export import Export
    from edgekit.inference.predict import Prediction
    from edgekit.measurement.evaluate import Evaluation, Part
    from edgekit.report.inspect import Inspection


def adaptation_table(result: Adaptation) -> Table:
    """What was added, what it cost, what became of the earlier classes."""
    table = two_columns(f"adapted {result.architecture}, {result.settings['scoring']} scoring")
    recognised = result.recognised.get("architecture", "as its file says")
    names = f", names: {result.recognised['class names']}" if "class names" in result.recognised else ""
    table.add_row("base model", f"{result.architecture} ({recognised}), {result.old_classes} classes{names}")
    objects = ", ".join(f"{n} {c}" for c, n in result.objects.items())
    table.add_row("classes added", f"{', '.join(result.classes)} ({objects} in {result.photos} photos)")
    proposed = ", ".join(f"{result.proposed[c]} of {n} {c}" for c, n in result.objects.items())
    table.add_row("proposed by the RPN", proposed)
    seconds = f"trunk {result.trunk_seconds} ({result.trunk}), features {result.feature_seconds}"
    table.add_row("seconds", f"{seconds}, training {result.training_seconds}, proof {result.proof_seconds}")
    epochs = result.training.epochs
    if epochs:
        best = epochs[result.training.best_epoch - 1]
        losses = f"class {best.classification:.4f}, box {best.box:.4f}, mask {best.mask:.4f}"
        table.add_row("epoch kept", f"{best.epoch} of {len(epochs)}; losses: {losses}")
    proof = result.proof
    kept = proof.retention
    table.add_row("old detections changed", f"{kept.changed} of {kept.compared} on {kept.images} photos")
    if kept.changed:
        table.add_row("found by one model only", f"{kept.lost} by the base, {kept.added} by the adapted model")
        differences = f"score {kept.largest_score_difference:.2g}, box {kept.largest_box_difference:.2g} pixels"
        table.add_row("largest differences", differences)
    table.add_row(
        "trunk's weights", "unchanged" if proof.trunk_sha256_before == proof.trunk_sha256_after else "CHANGED"
    )
    if proof.old is not None:
        change = f"{ap_text(proof.old.before)} before, {ap_text(proof.old.after)} after"
        table.add_row("old classes' AP", f"{change}, on {proof.old.photos} photos")
    if proof.new is not None:
        table.add_row("new classes' AP", f"{ap_text(proof.new)} on {proof.held_out_photos} held-out photos")
    else:
        table.add_row("new classes' AP", "not measured: hold photos out with --val FILE or --val 20%")
    for message in result.advice:
        table.add_row("advice", message)
    for message in result.skipped:
        table.add_row("skipped", message)
    return table


def ap_text(part: Part | Evaluation) -> str:
    """AP by boxes and, where there are any, by masks, in points."""
    masks = f", masks {100 * part.mask.AP:.1f}" if part.mask else ""
    return f"boxes {100 * part.box.AP:.1f}{masks}"


def export_table(result: Export) -> Table:
    """What was written and, of a graph, how well it agrees with PyTorch."""
    table = two_columns(f"exported {result.output.name}")
    height, width = result.input_size
    if not result.nodes:
        table.add_row("state dict", f"{result.megabytes:.1f} MB")
    else:
        pixels = f"uint8 [{result.batch}, {height}, {width}, 3], RGB"
        planes = f"float32 [{result.batch}, 3, {height}, {width}], RGB, 0 to 255"
        table.add_row("input", planes if result.input_type == "float" else pixels)
        table.add_row("graph", f"{result.precision}, {result.nodes} nodes, {result.megabytes:.1f} MB, static")
    if result.mask_files:
        table.add_row(
            "masks", f"of what is found, by {', '.join(p.name for p in result.mask_files)}: keep them beside it"
        )
    if result.eight_bit_share is not None:
        table.add_row("in 8 bits", f"{100 * result.eight_bit_share:.0f}% of the multiply-adds")
    if result.kept:
        table.add_row("kept in fp32", ", ".join(result.kept))
    if result.verification is not None:
        table.add_row(f"compared on {result.verification.parity.images} photos", result.verification.numbers)
    if result.engine is not None:
        capabilities = ", ".join(result.engine.compute_capabilities)
        table.add_row("engine", f"{result.engine.path.name}, {result.engine.megabytes:.1f} MB, for {capabilities}")
    if result.engine_verification is not None:
        table.add_row("engine compared", result.engine_verification.numbers)
    if result.triton is not None:
        table.add_row("Triton model", str(result.triton))
    for note in result.notes:
        table.add_row("note", note)
    table.add_row("seconds", f"{result.seconds}")
    return table


def evaluation_table(result: Evaluation) -> Table:
    """COCO AP by part and by class, in percent."""
    table = Table(title=f"COCO AP (%), {result.images} photos, {result.objects} objects")
    table.add_column("classes")
    for column in ("box AP", "box AP50", "mask AP", "mask AP50"):
        table.add_column(column, justify="right")

    def row(name: str, part: Part | Evaluation | None, style: str = "") -> None:
        if part is not None:
            figures = [part.box.AP, part.box.AP50]
            figures += [part.mask.AP, part.mask.AP50] if part.mask else []
            table.add_row(name, *(f"{100 * f:.1f}" for f in figures), style=style)

    row("all", result, "bold")
    row("old", result.old, "bold")
    row("new", result.new, "bold")
    table.add_section()
    for name, part in result.per_class.items():
        row(name, part)
    return table


def counted(number: int, thing: str) -> str:
    """A number of things: "1 image", "2 images"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def prediction_table(predictions: Sequence[Prediction]) -> Table:
    """One line per detection."""
    objects = sum(len(p.detections) for p in predictions)
    table = Table(title=f"{counted(objects, 'object')} in {counted(len(predictions), 'image')}")
    for column in ("image", "category"):
        table.add_column(column)
    for column in ("score", "x", "y", "width", "height"):
        table.add_column(column, justify="right")
    for prediction in predictions:
        for found in prediction.detections:
            box = [f"{v:.0f}" for v in found["bbox"]]
            table.add_row(prediction.image.name, found["category"], f"{found['score']:.3f}", *box)
        if not prediction.detections:
            table.add_row(prediction.image.name, "skipped" if prediction.skipped else "nothing")
    return table


def inspection_table(result: Inspection) -> Table:
    """What the file is."""
    table, meta = two_columns(str(result.artifact)), result.meta
    table.add_row("kind", f"{result.kind}, {result.megabytes:.1f} MB, {meta.precision}")
    parameters = "" if result.parameters is None else f", {result.parameters / 1e6:.2f} M parameters"
    table.add_row("architecture", f"{meta.architecture}{parameters}")
    table.add_row("input", f"{meta.input_size[0]}x{meta.input_size[1]} pixels")
    for number, names in enumerate(meta.generations):
        table.add_row(f"generation {number}", ", ".join(names))
    table.add_row("scoring", meta.scoring)
    table.add_row("sha256", result.sha256)
    table.add_row("made from", meta.parent_sha256 or "nothing")
    table.add_row("made with", ", ".join(f"{k} {v}" for k, v in meta.versions.items()))
    for name, value in {**meta.training, **result.details}.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        table.add_row(name, shown)
    return table


def demo_tables(summary: DemoSummary) -> list[Table]:
    """The demo in one table, and the latencies."""
    table = Table(title=f"AP50 (%) on {summary.adapted.images} photos of old and new objects")
    table.add_column("model")
    for column in ("old box", "old mask", "new box", "new mask", "false new a base photo", "seconds"):
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


def two_columns(title: str) -> Table:
    """A table of names and what they are, without a header."""
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table

"""Results as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from edgekit.comparison.tolerance import MIN_SCORE
from edgekit.report.sheets import Sheet, facts, rich_table

if TYPE_CHECKING:
    from edgekit.artifacts.detector_settings import DetectorSettings
    from edgekit.comparison.compare import Comparison
    from edgekit.deployment.export.export_result import Export
    from edgekit.inference.live import Stream
    from edgekit.inference.predict import Prediction
    from edgekit.measurement.evaluate import Evaluation, Part
    from edgekit.report.inspect import Inspection


def ap_text(part: Part | Evaluation) -> str:
    """AP by boxes and, where there are any, by masks, in points."""
    masks = f", masks {100 * part.mask.AP:.1f}" if part.mask else ""
    return f"boxes {100 * part.box.AP:.1f}{masks}"


def export_table(result: Export) -> Table:
    """What was written and, of a graph, how well it agrees with PyTorch."""
    height, width = result.input_size
    rows: list[tuple[str, str | None]] = []
    if not result.nodes:
        rows.append(("state dict", f"{result.megabytes:.1f} MB"))
    else:
        pixels = f"uint8 [{result.batch}, {height}, {width}, 3], RGB"
        planes = f"float32 [{result.batch}, 3, {height}, {width}], RGB, 0 to 255"
        rows.append(("input", planes if result.input_type == "float" else pixels))
        rows.append(("graph", f"{result.precision}, {result.nodes} nodes, {result.megabytes:.1f} MB, static"))
    rows.append(("assumed", assumed_text(result.assumed)))
    rows.append(("packs", ", ".join(result.packs) or None))
    if result.eight_bit_share is not None:
        rows.append(("in 8 bits", f"{100 * result.eight_bit_share:.0f}% of the multiply-adds"))
    rows.append(("kept in fp32", ", ".join(result.kept) or None))
    if result.verification is not None:
        rows.append((f"compared on {result.verification.parity.images} photos", result.verification.numbers))
    if result.engine is not None:
        capabilities = ", ".join(result.engine.compute_capabilities)
        rows.append(("engine", f"{result.engine.path.name}, {result.engine.megabytes:.1f} MB, for {capabilities}"))
    if result.engine_verification is not None:
        rows.append(("engine compared", result.engine_verification.numbers))
    rows.append(("Triton model", str(result.triton) if result.triton is not None else None))
    rows += [("note", note) for note in result.notes]
    rows.append(("seconds", f"{result.seconds}"))
    return facts(f"exported {result.output.name}", rows)


def evaluation_table(result: Evaluation) -> Table:
    """COCO AP by part and by class, in percent."""
    parts = {"all": result, "old": result.old, "new": result.new, **result.per_class}
    rows = []
    for name, part in parts.items():
        if part is not None:
            figures = [part.box, *([part.mask] if part.mask else [])]
            rows.append((name, *(f"{100 * v:.1f}" for f in figures for v in (f.AP, f.AP50))))
    totals = len(rows) - len(result.per_class)
    title = f"COCO AP (%), {result.images} photos, {result.objects} objects"
    columns = ("classes", "box AP", "box AP50", "mask AP", "mask AP50")
    return rich_table(Sheet(title, columns, tuple(rows), styles=("bold",) * totals))


def counted(number: int, thing: str) -> str:
    """A number of things: "1 image", "2 images"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def prediction_table(predictions: Sequence[Prediction]) -> Table:
    """One row per detection."""
    rows: list[tuple[str, ...]] = []
    for prediction in predictions:
        for found in prediction.detections:
            box = [f"{v:.0f}" for v in found["bbox"]]
            rows.append((prediction.image.name, found["category"], f"{found['score']:.3f}", *box))
        if not prediction.detections:
            rows.append((prediction.image.name, "skipped" if prediction.skipped else "nothing"))
    objects = sum(len(p.detections) for p in predictions)
    title = f"{counted(objects, 'object')} in {counted(len(predictions), 'image')}"
    return rich_table(Sheet(title, ("image", "category", "score", "x", "y", "width", "height"), tuple(rows), words=2))


def stream_table(stream: Stream) -> Table:
    """What came of a video or camera: frames, speed by stage, and the files written."""
    speed = f"{stream.frames_per_second:.1f} frames per second, {stream.frames} in {stream.seconds:.1f} s"
    stages = f"decoding {stream.decode_ms:.1f}, inference {stream.inference_ms:.1f}, drawing {stream.drawing_ms:.1f}"
    scaled = f"{stream.refitted} frames were scaled to the first one's size for the video"
    rows = [
        ("source", stream.source),
        ("speed", speed + (f", {stream.dropped} dropped" if stream.dropped else "")),
        ("ms per frame", f"{stages} (medians; they overlap)"),
        ("ended", stream.ended if stream.problem is None else stream.problem),
        ("other sizes", scaled if stream.refitted else None),
        ("video", str(stream.output) if stream.output is not None else None),
        ("JSON lines", str(stream.jsonl) if stream.jsonl is not None else None),
    ]
    return facts(f"{counted(stream.objects, 'object')} in {counted(stream.frames, 'frame')}", rows)


def inspection_table(result: Inspection) -> Table:
    """What the file is."""
    meta = result.meta
    parameters = "" if result.parameters is None else f", {result.parameters / 1e6:.2f} M parameters"
    rows = [
        ("kind", f"{result.kind}, {result.megabytes:.1f} MB, {meta.precision}"),
        ("architecture", f"{meta.architecture}{parameters}"),
        ("input", f"{meta.input_size[0]}x{meta.input_size[1]} pixels"),
        *((f"generation {number}", ", ".join(names)) for number, names in enumerate(meta.generations)),
        ("scoring", meta.scoring),
        ("sha256", result.sha256),
        ("made from", meta.parent_sha256 or "nothing"),
        ("made with", ", ".join(f"{k} {v}" for k, v in meta.versions.items())),
    ]
    for name, value in {**meta.training, **result.details}.items():
        rows.append((name, _detail_text(value)))
    return facts(str(result.artifact), rows)


def _detail_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_detail_text(v)}" for k, v in value.items())
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return "; ".join(value) or "none"
    return str(value)


def assumed_text(assumed: Sequence[str]) -> str | None:
    """Settings that no file says, in a line; None where there are none."""
    if not assumed:
        return None
    return f"{', '.join(assumed[:4])}{', ...' if len(assumed) > 4 else ''} ({len(assumed)} settings): edgekit inspect"


def settings_table(settings: DetectorSettings) -> Table:
    """Everything that decides what a detector finds, each value with where it comes from."""
    origins = settings.origins
    values = {name: value for name, value in settings.values().items() if settings.uses(name)}
    cells = tuple((name, _value_text(value), origins.get(name) or "file") for name, value in values.items())
    return rich_table(Sheet("settings", ("setting", "value", "from"), cells))


def _value_text(value: Any) -> str:
    if isinstance(value, tuple):
        inner = " | " if value and isinstance(value[0], tuple) else ", "
        return inner.join(map(_value_text, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def comparison_tables(result: Comparison) -> list[Table]:
    """What of two model files matches and how well, then each stage."""
    verified, seen, bounds = result.verification, result.verification.parity, result.verification.tolerance
    forms = [f"{p} in {r}" for p, r in zip(result.precisions, result.runtimes, strict=True)]
    matched = f"{seen.matched} of {seen.compared} detections on {seen.images} photos, {seen.extra} only in the second"
    limits = f"IoU {bounds.min_iou}, score {bounds.max_score_difference:g}, mask {bounds.max_mask_difference:g}"
    rows: list[tuple[str, str | None]] = [
        ("compared", f"{forms[0]} with {forms[1]}, at {result.input_size[0]}x{result.input_size[1]}"),
        ("matched", f"{matched} ({result.matched_share:.2%})"),
        ("tolerance", f"{bounds.precision}: {limits}; detections above score {MIN_SCORE}"),
        ("largest score difference", f"{seen.largest_score_difference:.2g}"),
        ("largest box difference", f"{seen.largest_box_difference:.2g} pixels"),
    ]
    if seen.mean_mask_iou is not None:
        rows.append(("mask IoU", f"mean {seen.mean_mask_iou:.4f}, smallest {seen.smallest_mask_iou:.4f}"))
    if verified.reference and verified.other:
        rows.append(("AP", f"{ap_text(verified.reference)} and {ap_text(verified.other)}"))
    rows += [("note", note) for note in result.notes]
    rows.append(("differ from", result.differs_at or result.stages_missing or "no stage on"))
    tables = [facts(f"{result.a} and {result.b}", rows)]
    if result.stages:
        cells = tuple((s.stage, s.measure, f"{s.difference:.2g}", f"{s.tolerance:.2g}") for s in result.stages)
        styles = tuple("bold red" if s.differs else "" for s in result.stages)
        title, columns = "by stage, on the photos that differ most", ("stage", "measure", "difference", "tolerance")
        tables.append(rich_table(Sheet(title, columns, cells, words=2, styles=styles)))
    return tables

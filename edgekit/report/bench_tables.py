"""A benchmark as tables: their cells and, of these, a Markdown page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgekit.artifacts.outputs import TEXT_MARK
from edgekit.measurement.bench.earlier import MEASURE_AGAIN, unjudged
from edgekit.report.sheets import Sheet

if TYPE_CHECKING:
    from edgekit.measurement.bench.benchmark import Benchmark, ChangeSince, Latency, Measured

ABSENT = "not measured"


def sheets(result: Benchmark) -> list[Sheet]:
    """All of a benchmark."""
    rows = result.artifacts
    found = []
    if rows:
        found.append(latency_sheet([r.latency for r in rows], result.machine))
        found.append(_parts(rows))
        found.append(_costs(rows))
        found += _alone(rows)
    if any(r.accuracy for r in rows):
        found.append(_accuracy(rows))
    found += [_layers(r) for r in rows if r.layers]
    if result.comparison is not None and result.comparison.ratios:
        found.append(_comparison(result.comparison))
    if rows:
        found.append(_conditions(result))
    return found


def latency_sheet(rows: Sequence[Latency], machine: Mapping[str, str | int]) -> Sheet:
    """Percentiles, spread and throughput."""
    title = f"latency (ms), photo to pasted masks, interleaved, {rows[0].runs} runs, {machine['cpu']}"
    columns = ("artifact", "runtime", "p50", "p90", "p99", "mean ± std", "images/s", "times first")
    cells = [
        (
            r.artifact,
            r.runtime,
            *(f"{v:.1f}" for v in (r.p50_ms, r.p90_ms, r.p99_ms)),
            f"{r.mean_ms:.1f} ± {r.std_ms:.1f}",
            f"{r.images_per_s:.1f}",
            f"{r.p50_ms / rows[0].p50_ms:.2f}",
        )
        for r in rows
    ]
    return Sheet(title, columns, tuple(cells), words=2)


def markdown(result: Benchmark) -> str:
    """A benchmark as a Markdown page."""
    parts = [f"<!-- {TEXT_MARK} -->\n# edgekit bench\n"]
    for sheet in sheets(result):
        rule = ["---" if place < sheet.words else "---:" for place in range(len(sheet.columns))]
        lines = [sheet.columns, tuple(rule), *sheet.rows]
        body = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        parts.append(f"## {sheet.title}\n\n{body}\n")
    said = remarks(result)
    if said:
        parts.append("\n".join(f"- {line}" for line in said) + "\n")
    return "\n".join(parts)


def remarks(result: Benchmark) -> list[str]:
    """What must be said beside the tables: failures, notes, comparisons that do not hold."""
    said = [f"{_once(f.artifact, f.reason)} ({f.remedy})" for f in result.failed]
    said += [f"{r.latency.artifact}: {note}" for r in result.artifacts for note in r.notes]
    said += _sizes(result)
    comparison = result.comparison
    if comparison is not None and comparison.other_machine:
        differences = "; ".join(comparison.other_machine)
        said.append(f"{comparison.file} is of another machine: {differences} ({MEASURE_AGAIN})")
    if comparison is not None:
        said += unjudged(comparison)
    return said + [f"slower than before: {name}" for name in result.slower]


def _sizes(result: Benchmark) -> list[str]:
    """What is not of one size, so that times cannot be told from the model alone."""
    said = []
    photos = sorted(result.photo_sizes.items(), key=lambda item: -item[1])
    if len(photos) > 1:
        few = ", ".join(f"{count} of {size}" for size, count in photos[:4])
        more = f" and {len(photos) - 4} more sizes" if len(photos) > 4 else ""
        said.append(f"the photos have different sizes: {few}{more}; decoding and pasting take longer for large ones")
    inputs = {r.latency.artifact: "x".join(map(str, r.latency.input_size)) for r in result.artifacts}
    if len(set(inputs.values())) > 1:
        named = ", ".join(f"{artifact} {size}" for artifact, size in inputs.items())
        said.append(f"the artifacts have different input sizes: {named} (export them with the same --size)")
    return said


def _by_artifact(title: str, rows: Sequence[Measured], columns: Mapping[str, Sequence[str]]) -> Sheet:
    cells = zip([r.latency.artifact for r in rows], *columns.values(), strict=True)
    return Sheet(title, ("artifact", *columns), tuple(cells))


def _parts(rows: Sequence[Measured]) -> Sheet:
    parts = ("decode", "preprocess", "inference", "postprocess")
    columns = {part: [_figure(r.latency.split, f"{part}_ms", ".2f") for r in rows] for part in parts}
    columns["objects per image"] = [f"{r.latency.objects_per_image:.1f}" for r in rows]
    return _by_artifact("median ms of each part (decoding is not part of the latency)", rows, columns)


def _costs(rows: Sequence[Measured]) -> Sheet:
    """Memory, energy and streams: a column of each that was measured of some artifact."""
    figures = {
        "memory MB": [_figure(r.memory, "resident_mb", ".0f") for r in rows],
        "peak MB": [_figure(r.memory, "peak_mb", ".0f") for r in rows],
        "device MB": [_figure(r.memory, "device_mb", ".0f") for r in rows],
        "J per image": [_figure(r.power, "joules_per_image", ".3f") for r in rows],
        "W": [_figure(r.power, "mean_watts", ".1f") for r in rows],
        "streams": [_figure(r.streams, "count", "d") for r in rows],
        "images/s of streams": [_figure(r.streams, "images_per_s", ".1f") for r in rows],
    }
    shown = {name: column for name, column in figures.items() if set(column) != {ABSENT}}
    return _by_artifact("memory of a process with this artifact alone; energy while it runs alone", rows, shown)


def _alone(rows: Sequence[Measured]) -> list[Sheet]:
    """Temperatures and clocks of each artifact, where they were read while it ran alone for its energy."""
    told = [r.power.conditions if r.power is not None else {} for r in rows]
    names = dict.fromkeys(n for part in told for n in part if n.endswith((" celsius", " MHz")))
    columns = {n: [f"{part[n]:.1f}" if n in part else ABSENT for part in told] for n in names}
    return [_by_artifact("conditions while each artifact ran alone (means)", rows, columns)] if columns else []


def _accuracy(rows: Sequence[Measured]) -> Sheet:
    columns = {
        f"{kind} {name}": [_figure(getattr(r.accuracy, kind, None), name, ".1%").rstrip("%") for r in rows]
        for kind in ("box", "mask")
        for name in ("AP", "AP50")
    }
    photos = next(r.accuracy.images for r in rows if r.accuracy)
    return _by_artifact(f"COCO AP (%), {photos} photos", rows, columns)


def _layers(row: Measured) -> Sheet:
    columns = ("kind of layer", "ms", "count", "share")
    cells = [(x.kind, f"{x.ms:.3f}", f"{x.count:g}", f"{x.share:.1%}") for x in row.layers[:12]]
    return Sheet(f"{row.latency.artifact}: time by kind of layer, profiled", columns, tuple(cells))


def _comparison(comparison: ChangeSince) -> Sheet:
    columns = ("artifact", "p50 before", "p50 now", "ratio", "ratio of inference")
    cells = [
        (r.artifact, f"{r.old_p50_ms:.1f}", f"{r.p50_ms:.1f}", f"{r.ratio:.3f}", f"{r.inference_ratio:.3f}")
        for r in comparison.ratios
    ]
    other = ", OF ANOTHER MACHINE" if comparison.other_machine else ""
    return Sheet(f"against {comparison.file}{other}", columns, tuple(cells))


def _conditions(result: Benchmark) -> Sheet:
    """Temperature, clocks, power mode, throttling: of the whole run, since the artifacts took turns in it."""
    telemetry = result.telemetry
    rows = [
        (f"{s.what} ({s.source})", f"{min(s.values):.4g} .. {max(s.values):.4g} {s.unit}")
        for s in telemetry.series
        if s.values
    ]
    rows += list(telemetry.settings.items())
    if telemetry.throttled != "unknown":
        rows.append(("throttled", ", ".join((telemetry.throttled, *telemetry.throttle_reasons))))
    rows += [(what, f"{ABSENT} ({why})") for what, why in result.not_measured.items()]
    rows += [(f"{m.source}: {m.reason}", m.remedy) for m in telemetry.missing if not m.remedy.startswith("nothing")]
    cost = f"{100 * telemetry.core_share:.2f}% of a core, {telemetry.samples} samples in {telemetry.seconds:.1f} s"
    rows.append(("sampling itself took", cost))
    return Sheet("conditions of the whole run", ("what", "value"), tuple(rows), words=2)


def _once(name: str, reason: str) -> str:
    return reason if reason.startswith(name) else f"{name}: {reason}"


def _figure(part: object, name: str, form: str) -> str:
    """A figure of a part that may not have been measured."""
    value = getattr(part, name, None)
    return ABSENT if value is None else format(value, form)

"""The tables of docs/results.md that compare ways to add classes."""

from __future__ import annotations

from typing import Any

from benchmarks.lib.generated import lines


def demo_table(demo: dict[str, Any]) -> str:
    """AP before and after, edgekit beside naive fine-tuning."""
    photos, epochs = demo["photos"], demo["epochs"]
    head = (
        f"Chicken and frog added to a model of {len(demo['base']['per_class'])} classes "
        f"from {photos['new-train']} photos, {epochs} epochs; "
        f"AP50 (%) on {photos['mixed-test']} photos of old and new objects:\n\n"
    )
    columns = [
        "",
        "old, box",
        "old, mask",
        "new, box",
        "new, mask",
        "false new detections per old-only photo",
        "seconds",
    ]
    rows = [
        ["base model", *_ap50(demo["base_on_mixed"]), "", ""],
        [
            "**edgekit**",
            *_ap50(demo["adapted"]),
            f"{demo['false_new_per_base_image']:.2f}",
            _whole(demo["adapt_seconds"]),
        ],
        [
            "edgekit, int8",
            *_ap50(demo["int8"]),
            f"{demo['int8_false_new_per_base_image']:.2f}",
            f"+ {_whole(demo['int8_export_seconds'])}",
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
        "compared bit by bit in fp32, in PyTorch and in onnxruntime; int8 changes them. "
        f"Its seconds are those of the conversion, calibrated on the {photos['new-train']} photos. "
        f"Exporting the trunk took {demo['trunk_export_seconds']:.0f} s more, once per base model. "
        f"torchvision's loop trained {demo['loop_epochs']} epochs; its seconds are extrapolated to {epochs}.\n"
    )
    return head + lines(columns, rows) + changed


def latency_table(demo: dict[str, Any]) -> str:
    """Milliseconds per photo of each form of the model."""
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
    seeds = f"{result['seeds']} seed{'s' * (result['seeds'] > 1)}"
    head = f"AP (%) of the new classes {' and '.join(result['classes'])}, boxes / masks, by the number of photos; "
    head += f"{result['about']}; mean of {seeds}:\n\n"
    new = [[m, *(ap_pair(runs(result, m, c), test, "new") for c in shots)] for m in methods]
    text = head + lines(["", *(f"{c} photo{'s' * (c > 1)}" for c in shots)], new)

    other = [t for t in rows[0] if t == "other drawing style"]
    columns = [
        "",
        "old AP, boxes / masks",
        "old detections changed",
        "false new detections per old-only photo",
    ]
    columns += [f"new AP, {t}" for t in other] + ["seconds", "peak MB"]
    base = runs(result, methods[0], shots[-1])
    table = [["base model", ap_pair(base, test, "old_before"), *[""] * (len(columns) - 2)]]
    for m in methods:
        own = runs(result, m, shots[-1])
        figures = [ap_pair(own, test, "old"), changed(own), false_new(own, old_only)]
        figures += [ap_pair(own, t, "new") for t in other]
        table.append([m, *figures, seconds(own), f"{max(r['peak_rss_mb'] for r in own)}"])
    threads = result["machine"]["threads"]
    note = f"\nWith {shots[-1]} photos (seconds: features and training, the fastest of the seeds' runs on {threads} "
    note += f"thread{'s' * (threads > 1)}, with other work on the machine):\n\n"
    return text + note + lines(columns, table)


def runs(result: dict[str, Any], method: str, shots: int) -> list[dict[str, Any]]:
    """A method's rows with a number of photos, one per seed."""
    return [r for r in result["rows"] if r["method"] == method and r["shots"] == shots]


def ap_pair(rows: list[dict[str, Any]], test: str, part: str) -> str:
    """The mean AP of boxes and of masks."""
    return " / ".join(f"{sum(r[test][part][f'{k}_AP'] for r in rows) / len(rows):.1f}" for k in ("box", "mask"))


def changed(rows: list[dict[str, Any]]) -> str:
    """How many of the base model's detections came out otherwise, in all test sets and seeds.

    Results measured before ``old_added`` was written count detections that the base model lacks among the changed ones,
    so that there may be more changed than the base model has.
    """
    tests = [value for r in rows for value in r.values() if isinstance(value, dict)]
    count = sum(min(t["old_changed"], t["old_compared"]) for t in tests)
    return f"{count} of {sum(t['old_compared'] for t in tests)}"


def false_new(rows: list[dict[str, Any]], test: str) -> str:
    """Confident detections of new classes per photo that shows none."""
    return f"{sum(r[test]['false_new_a_photo'] for r in rows) / len(rows):.2f}"


def seconds(rows: list[dict[str, Any]]) -> str:
    """What the fastest seed took."""
    return f"{min(r['seconds'] for r in rows):.0f}"


def r50_table(result: dict[str, Any]) -> str:
    """Adaptation against torchvision's loop on R50-FPN, machine by machine."""
    machines = result["machines"]
    first = next(iter(machines.values()))
    own = first["adapt"]
    head = f"Mask R-CNN R50-FPN (random weights) at {'x'.join(map(str, first['size']))}, {own['photos']} photos to "
    head += f"learn from, {own['held_out_photos']} held out, {own['epochs']} epochs; seconds and peak MB:\n\n"
    columns = ["", "`edgekit adapt`, whole, with the trunk's export", "peak MB", "torchvision's loop, extrapolated"]
    rows = []
    for name, column in machines.items():
        own, loop = column["adapt"], column["torchvision_loop"]
        parts = ", ".join(f"{part} {own[f'{part}_seconds']:.0f}" for part in ("trunk", "feature", "training", "proof"))
        a_photo = sum(t["seconds_a_photo"] for t in loop) / len(loop)
        extrapolated = f"{column['torchvision_loop_seconds_extrapolated']} (from {a_photo:.2f} per photo)"
        row = [name, f"{own['seconds']:.0f} ({parts})", f"{own['peak_rss_mb']}", extrapolated]
        rows.append([*row, f"{max(t['peak_rss_mb'] for t in loop)}", f"{column['times_faster']}"])
    most = max(column["adapt"]["largest_view_mb"] for column in machines.values())
    note = f"\nThe cache takes at most {most} MB per photo and view.\n"
    return head + lines([*columns, "peak MB", "times as fast"], rows) + note


def _ap50(evaluation: dict[str, Any]) -> list[str]:
    parts = [evaluation["old"], evaluation["new"]]
    return [f"{100 * part[kind]['AP50']:.1f}" if part else "" for part in parts for kind in ("box", "mask")]


def _whole(seconds: float) -> str:
    return f"{seconds:.0f}"

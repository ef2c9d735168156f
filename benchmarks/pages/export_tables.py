"""The tables of docs/results.md on precision, latency of R50-FPN and what compiles."""

from __future__ import annotations

from typing import Any

from benchmarks.lib.generated import lines

SHOWN = {
    "PyTorch": "PyTorch, before the export",
    "fp32": "fp32",
    "fp16": "fp16",
    "int8 tensorrt, keep auto": "int8, for TensorRT",
    "int8 cpu, keep auto": "int8, for CPUs",
    "int8 tensorrt": "int8, for TensorRT, nothing kept in float32",
}


def precision_table(result: dict[str, Any], full_size: dict[str, Any]) -> str:
    """AP and size of the embedded model's graph by precision; how near a full-size one is to PyTorch."""
    rows = {r["name"]: r for r in result["rows"]}
    table = []
    for name, title in SHOWN.items():
        row = rows[name]
        kept = ", ".join(row.get("kept", ()))
        size = f"{row['MB']:.1f}" if "MB" in row else ""
        table.append([title, f"{row['box_AP']:.1f}", f"{row['mask_AP']:.1f}", size, f"`{kept}`" if kept else ""])
    scenes = result["scenes"]["count"]
    head = f"AP (%) of the embedded model on {scenes} scenes, graphs run in onnxruntime on a CPU:\n\n"
    seen, bounds = full_size["parity"], full_size["tolerance"]
    note = f"\nMask R-CNN R50-FPN (random weights) at {'x'.join(map(str, full_size['size']))}: the fp32 graph finds "
    note += f"{seen['matched']} of PyTorch's {seen['compared']} detections in {seen['images']} photos (IoU at least "
    note += f"{bounds['min_iou']}, score within {bounds['max_score_difference']}), and {seen['extra']} others.\n"
    return head + lines(["", "box AP", "mask AP", "MB", "kept in float32"], table) + note


def latency_table(result: dict[str, Any], floor: dict[str, Any]) -> str:
    """R50-FPN on CPUs, edgekit's graphs beside torchvision's ways."""
    machines = result["machines"]
    first = next(iter(machines.values()))
    head = f"Mask R-CNN R50-FPN (random weights) at {'x'.join(map(str, first['size']))}, photo to pasted masks, p50 of "
    head += "interleaved runs, ms:\n\n"
    columns, measured, notes = [""], [], []
    for name, column in machines.items():
        for setting in column["settings"]:
            shape = f"{setting['proposals']} proposals, at most {setting['detections']} detections"
            columns.append(f"{name}: {shape} ({_objects(setting):.0f} found)")
            measured.append(setting["p50_ms"])
        if name in floor["machines"]:
            notes.append(f"- {name}: {_floors(floor['machines'][name]['rows'])}\n")
    ways = list(dict.fromkeys(way for setting in measured for way in setting))
    table = [[_title(way), *(f"{s[way]:.0f}" if way in s else "" for s in measured)] for way in ways]
    about = "\nAll multiply-adds at the processor's measured peak rate, and the fp32 graph's time relative to that:\n\n"
    return head + lines(columns, table) + about + "".join(notes)


def _title(way: str) -> str:
    """What a way is called, with edgekit's options as a user gives them."""
    return way.replace(" cpu", ", `--target cpu`")


def _floors(rows: list[dict[str, Any]]) -> str:
    """What the arithmetic alone takes, of the plain graphs and of those for CPUs."""
    kinds = {"fp32.onnx": "direct convolution", "fp32 cpu.onnx": "Winograd's method"}
    parts = []
    for end, title in kinds.items():
        floors = [f"{r['floor_ms']:.0f} ms ({r['times_the_floor']})" for r in rows if r["graph"].endswith(f"-{end}")]
        if floors:
            parts.append(f"{title} {' and '.join(floors)}")
    return "; ".join(parts)


def assembly_table(result: dict[str, Any]) -> str:
    """What the graph of R50-FPN takes: from scratch, from the cache, in parts, with a pack."""
    size, machine = "x".join(map(str, result["size"])), result["machine"]
    head = f"Seconds to the graph of Mask R-CNN R50-FPN at {size}, {machine['cpu']}, {machine['threads']} threads:\n\n"
    table = [[name, f"{row['seconds']:.1f}", str(row["peak_rss_mb"])] for name, row in result["steps"].items()]
    return head + lines(["", "seconds", "peak MB"], table)


def compile_table(result: dict[str, Any]) -> str:
    """Which graphs TensorRT-RTX compiled, in seconds."""
    cells = {c["cell"]: c for c in result["cells"]}
    models = list(dict.fromkeys(name.split("/")[0] for name in cells))
    precisions = ("fp32", "fp16", "int8")
    table = []
    for capability in dict.fromkeys(name.split("/")[2] for name in cells):
        for model in models:
            row = [cells.get(f"{model}/{p}/{capability}") for p in precisions]
            if any(row):
                table.append([f"{model}, {capability}", *(_cell(c) for c in row)])
    head = "Seconds to compile ahead of time on a CPU with other work on it, by model and compute capability; the "
    head += "engines were not run:\n\n"
    return head + lines(["", *precisions], table)


def _cell(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return ""
    return "fails" if "error" in cell else f"{cell['seconds']:.1f}"


def _objects(setting: dict[str, Any]) -> float:
    return float(setting["objects_per_image"]["edgekit fp32"])

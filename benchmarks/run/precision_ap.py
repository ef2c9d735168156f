"""AP, size and speed of the embedded model by precision, on drawn scenes that no calibration saw.

    python -m benchmarks.run.precision_ap --work /tmp/precision --output benchmarks/results/precision.json

All graphs come from one float32 export; "PyTorch" is the model it was made of. int8 is calibrated on
calibration/demo.json. AP is measured in onnxruntime on the CPU, which computes what the graph says for either target.
It has no half arithmetic there and widens it, so fp16 is measured a second time with each half value rounded ("fp16,
rounded"). Speed is interleaved, as a ratio.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from benchmarks.run.draw_calibration_photos import drawn_calibration_set
from edgekit.artifacts.metadata import tool_versions
from edgekit.artifacts.model_names import EMBEDDED
from edgekit.artifacts.onnx_files import read_onnx, write_onnx
from edgekit.data.images import list_images, read_image
from edgekit.demo.photo_sets import write_demo_set
from edgekit.deployment.export.export import export
from edgekit.deployment.precision.conversion import Conversion, convert
from edgekit.deployment.precision.quantise import TARGETS
from edgekit.files.whole_files import write_text
from edgekit.measurement.bench.sessions import time_sessions
from edgekit.measurement.evaluate import evaluate
from edgekit.measurement.machine.system import machine
from edgekit.runtime.onnx_session import OnnxSession

PYTORCH = "PyTorch"
SEED = 11  # of the test scenes
WAYS: dict[str, Conversion] = {"fp16": Conversion("fp16", keep=())}
for _target in TARGETS:
    WAYS[f"int8 {_target}"] = Conversion("int8", _target, keep=())
    WAYS[f"int8 {_target}, keep auto"] = Conversion("int8", _target)
TIMED = ("fp32", "int8 cpu", "int8 cpu, keep auto")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for scenes, graphs and calibration tables")
    parser.add_argument("--output", type=Path, required=True, help="result file to write (.json)")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--runs", type=int, default=100, help="timed runs of each graph")
    parser.add_argument("--only", default="", help="measure again what has this in its name")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    scenes = args.work / f"test-{args.scenes}"
    if not (scenes / "annotations.json").exists():
        write_demo_set("base-test", args.scenes, scenes, seed=SEED)
    if args.only:
        measure_again(args.only, args.output, args.work, scenes)
        return
    base = export("demo", args.work / "fp32.onnx").output
    meta = read_onnx(base)[1]
    rows = [in_pytorch(scenes), {"name": "fp32"} | measured(base, scenes)]
    reference = rows[1]
    files = {"fp32": base}
    for name, conversion in WAYS.items():
        files[name] = args.work / f"{name.replace(', ', '-').replace(' ', '-')}.onnx"
        rows.append({"name": name} | written(base, files[name], conversion) | measured(files[name], scenes, reference))
        print(json.dumps(rows[-1]), flush=True)
        if name == "fp16":
            rounded = args.work / "fp16-rounded.onnx"
            write_onnx(rounded, with_rounding(read_onnx(files[name])[0]), meta)
            rows.append({"name": "fp16, rounded"} | measured(rounded, scenes, reference))
            print(json.dumps(rows[-1]), flush=True)
    photos = [read_image(p) for p in list_images(scenes)]
    latencies = time_sessions({n: OnnxSession(files[n]) for n in TIMED}, photos, args.runs)
    first = latencies[0].inference_p50_ms
    speed = [
        {
            "name": row.artifact,
            "inference_p50_ms": row.inference_p50_ms,
            "p50_ms": row.p50_ms,
            "times_as_fast_as_fp32": round(first / row.inference_p50_ms, 2),
        }
        for row in latencies
    ]
    result = {
        "model": "demo (Mask R-CNN, MobileNetV2-FPN)",
        "input_size": meta.input_size,
        "scenes": {"split": "base-test", "count": args.scenes, "seed": SEED},
        "calibration": drawn_calibration_set().name,
        "rows": rows,
        "speed_cpu": {"runs": args.runs, "rows": speed},
        "speed_tensorrt": "not measured",
        "machine": machine(),
        "versions": tool_versions(),
    }
    write_text(args.output, json.dumps(result, indent=1) + "\n")
    print(json.dumps(speed, indent=1))


def measure_again(part: str, output: Path, work: Path, scenes: Path) -> None:
    """Replace the rows with ``part`` in their name, each with the float32 graph's AP on the same machine."""
    result = json.loads(output.read_text())
    base = export("demo", work / "fp32.onnx").output
    reference = measured(base, scenes)
    if part in PYTORCH:
        row = in_pytorch(scenes) | {"fp32": reference, "machine": machine()}
        result["rows"] = [row, *(r for r in result["rows"] if r["name"] != PYTORCH)]
        write_text(output, json.dumps(result, indent=1) + "\n")
    for row in result["rows"]:
        if part in row["name"] and row["name"] in WAYS:
            file = work / "again.onnx"
            told = written(base, file, WAYS[row["name"]])
            again = {"name": row["name"]} | told | measured(file, scenes, reference)
            row.clear()
            row.update(again | {"fp32": reference, "machine": machine()})
            print(json.dumps(row), flush=True)
            write_text(output, json.dumps(result, indent=1) + "\n")


def in_pytorch(scenes: Path) -> dict[str, Any]:
    """The row of the model that the graphs come from, as torchvision's modules in PyTorch; it has no graph's size."""
    row = {"name": PYTORCH} | measured(EMBEDDED["demo"], scenes)
    del row["MB"]
    return row


def written(base: Path, output: Path, conversion: Conversion) -> dict[str, Any]:
    """Convert and write a graph; what the conversion took and says of itself."""
    graph, meta = read_onnx(base)
    table = output.parent / "ranges.json" if conversion.precision == "int8" else None
    began = time.monotonic()
    conversion = dataclasses.replace(conversion, calibration=drawn_calibration_set())
    made = convert(graph, conversion, meta.input_size, table)
    write_onnx(output, made.model, dataclasses.replace(meta, precision=str(conversion.precision)))
    return {"seconds": round(time.monotonic() - began, 1), "kept": made.kept, "notes": made.notes}


def measured(file: Path, scenes: Path, reference: dict[str, Any] | None = None) -> dict[str, Any]:
    """AP in percent, its difference from ``reference``'s, and the file's size."""
    found = evaluate(file, scenes / "annotations.json", scenes)
    assert found.mask is not None
    row: dict[str, Any] = {"box_AP": round(100 * found.box.AP, 2), "mask_AP": round(100 * found.mask.AP, 2)}
    if reference is not None:
        for kind in ("box_AP", "mask_AP"):
            row[f"{kind}_difference"] = round(row[kind] - reference[kind], 2)
    return row | {"MB": round(file.stat().st_size / 1e6, 2)}


def with_rounding(model: onnx.ModelProto) -> onnx.ModelProto:
    """A half graph in which each half node's work is done in float32 and rounded to half."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    halves = {v.name for v in graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT16}
    constants = {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT16}
    nodes = []
    for source in graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(source)
        if node.op_type == "Cast" or not halves & set(node.output):
            nodes.append(node)
            continue
        for place, name in enumerate(source.input):
            if name in halves | constants:
                nodes.append(
                    helper.make_node("Cast", [name], [f"{name}>{node.name}"], f"widen {name}>{node.name}", to=1)
                )
                node.input[place] = f"{name}>{node.name}"
        nodes.append(node)
        for place, name in enumerate(source.output):
            node.output[place] = f"{name}<"
            nodes.append(helper.make_node("Cast", [f"{name}<"], [name], f"round {name}", to=10))
    del graph.node[:]
    graph.node.extend(nodes)
    return copy


if __name__ == "__main__":
    main()

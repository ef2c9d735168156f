"""The model that comes with edgekit, run in every way this machine can, interleaved: edgekit's forms and their peers.

    python -m benchmarks.run.peers      # or make bench; on a Jetson in the environment of docs/jetson.md

Adds or replaces this machine's part of benchmarks/results/peers.json and leaves the others. A way that cannot run here
is "not measured", with its reason.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import edgekit
from benchmarks.lib.by_machine import add
from benchmarks.lib.paths import RESULTS
from benchmarks.run.draw_calibration_photos import drawn_calibration_set
from edgekit.artifacts.metadata import tool_versions
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.images import SAMPLE_PHOTOS, list_images, read_image
from edgekit.demo.photo_sets import write_demo_set
from edgekit.deployment.precision.conversion import Conversion
from edgekit.errors import EdgekitError
from edgekit.measurement.bench.benchmark import Latency
from edgekit.measurement.bench.forms import failed
from edgekit.measurement.bench.harness import Subject, interleave
from edgekit.measurement.bench.sessions import call_stages, latency
from edgekit.measurement.evaluate import score
from edgekit.measurement.machine.system import machine
from edgekit.runtime.opening import open_session
from edgekit.runtime.session import Session, detect

RESULT = RESULTS / "peers.json"
SCENES, SEED = 60, 11  # drawn scenes for AP that no training and no calibration saw
WITHOUT_TORCH = "install torch (docs/jetson.md), or copy the folder that --work DIR kept on another machine"
Open = Callable[[], Session]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=None, help="folder for graphs and scenes to keep")
    parser.add_argument("--output", type=Path, default=RESULT, help="result file to add this machine to (.json)")
    parser.add_argument("--runs", type=int, default=100)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = args.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        try:
            column = measured(work, args.runs)
        except EdgekitError as error:
            sys.exit(f"benchmarks/run/peers.py: {error}")
    add(args.output, column)
    print(json.dumps(column["rows"], indent=1))


def measured(work: Path, runs: int) -> dict[str, Any]:
    """This machine's column: times of one interleaved run, then AP; raises EdgekitError if nothing can be measured."""
    threads = all_cores()
    photos = [read_image(p) for p in list_images(SAMPLE_PHOTOS)]
    scenes = write_demo_set("base-test", SCENES, work / "scenes", seed=SEED)
    rows: dict[str, dict[str, Any]] = {}
    sessions: dict[str, Session] = {}
    for name, opens in ways(work).items():
        print(f"opening {name}", flush=True)
        try:
            session = opens()
            detect(session, photos[0])
            sessions[name] = session
        except Exception as error:
            rows[name] = not_measured(name, error)
    if not sessions:
        raise EdgekitError("nothing can be measured here", "; ".join(f"{n}: {r}" for n, r in reasons(rows).items()))
    rows |= timed(sessions, photos, runs, scenes)
    first = next(iter(sessions.values()))
    return {
        "machine": machine(),
        "versions": tool_versions(),
        "runs": runs,
        "threads": threads,
        "input_size": first.meta.input_size,
        "scenes": {"count": SCENES, "seed": SEED},
        "rows": {name: rows[name] for name in ways(work)},
    }


def timed(
    sessions: dict[str, Session], photos: list[np.ndarray], runs: int, scenes: Dataset
) -> dict[str, dict[str, Any]]:
    """The row of each session; one that fails on the way loses its own only."""
    rows: dict[str, dict[str, Any]] = {}
    subjects = [Subject(name, call_stages(session, 1)) for name, session in sessions.items()]
    for timing in interleave(subjects, [(photo,) for photo in photos], runs):
        session = sessions[timing.subject.name]
        try:
            if timing.error is not None:
                raise timing.error
            rows[timing.subject.name] = figures(latency(timing, session, 1)) | {"box_AP": box_ap(session, scenes)}
        except Exception as error:
            rows[timing.subject.name] = not_measured(timing.subject.name, error)
    return rows


def not_measured(name: str, error: Exception) -> dict[str, Any]:
    """The row of a way that cannot run here."""
    known = failed(name, error)
    return {"not_measured": known.message.removeprefix(f"{name}: "), "remedy": known.hint}


def reasons(rows: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Why ways were not measured, and what to do about it."""
    return {name: f"{row['not_measured']} ({row['remedy']})" for name, row in rows.items() if "not_measured" in row}


def ways(work: Path) -> dict[str, Open]:
    """How to open each way to run the model; edgekit's first."""
    fp32, fp16 = work / "fp32.onnx", work / "fp16-tensorrt.onnx"
    int8, stock = work / "int8-cpu.onnx", work / "torchvision.onnx"
    found: dict[str, Open] = {
        "edgekit fp32, onnxruntime CPU": lambda: on_provider(exported(fp32), "cpu"),
        "edgekit int8, onnxruntime CPU": lambda: on_provider(exported(int8, Conversion("int8", "cpu")), "cpu"),
        "edgekit fp32, onnxruntime CUDA": lambda: on_provider(exported(fp32), "cuda"),
        "edgekit fp16, onnxruntime CUDA": lambda: on_provider(exported(fp16, Conversion("fp16")), "cuda"),
        "edgekit fp32, onnxruntime TensorRT": lambda: on_provider(exported(fp32), "tensorrt"),
        "edgekit fp16, TensorRT engine": lambda: engine(work, "fp16"),
        "edgekit int8, TensorRT engine": lambda: engine(work, "int8"),
        "edgekit fp32, PyTorch": checkpoint,
        "edgekit fp32, OpenVINO": lambda: openvino(exported(fp32)),
    }
    for name in ("torchvision, eager", "torchvision, eager, channels last", "torchvision, torch.compile"):
        found[name] = lambda name=name: torchvisions(name)  # type: ignore[misc]
    return found | {"torchvision's export, onnxruntime CPU": lambda: stock_session(stock)}


def all_cores() -> dict[str, int | str]:
    """Give PyTorch every core, as onnxruntime and OpenVINO take them, whatever OMP_NUM_THREADS says."""
    cores = len(os.sched_getaffinity(0))
    try:
        import torch
    except ImportError:
        return {"cores": cores, "pytorch": "not installed"}
    torch.set_num_threads(cores)
    return {"cores": cores, "pytorch": torch.get_num_threads()}


def exported(path: Path, conversion: Conversion = Conversion()) -> Path:
    """edgekit's graph in some precision, made once; what int8 costs stands in the page as AP."""
    if not path.exists():
        needs_torch(f"{path.name} is not there yet")
        int8 = conversion.precision == "int8"
        if int8:
            conversion = replace(conversion, calibration=drawn_calibration_set())
        edgekit.export("demo", path, conversion=conversion, verify=not int8)
    return path


def needs_torch(what: str) -> None:
    """Raise EdgekitError where there is no torch."""
    try:
        import torch  # noqa: F401 (whether it is there)
        import torchvision  # noqa: F401
    except ImportError as error:
        raise EdgekitError(f"{what}: {error}", WITHOUT_TORCH) from None


def on_provider(path: Path, provider: str) -> Session:
    from edgekit.runtime.onnx_session import OnnxSession

    return OnnxSession(path, provider)


def engine(work: Path, precision: str) -> Session:
    """An engine built on this device."""
    from edgekit.deployment.tensorrt.build import build
    from edgekit.runtime.engine_session import EngineSession, load
    from edgekit.runtime.gpu import gpu_here

    gpu_here()
    load("tensorrt")
    graph = exported(work / f"{precision}-tensorrt.onnx", Conversion(precision))
    return EngineSession.open(build(graph, graph.with_suffix(".engine")).path)


def checkpoint() -> Session:
    needs_torch("the checkpoint")
    return open_session("demo")


def openvino(path: Path) -> Session:
    try:
        import openvino  # noqa: F401 (whether it is there)
    except ImportError:
        raise EdgekitError("OpenVINO is not installed", "pip install openvino") from None
    from benchmarks.lib.peer_sessions import OpenVino

    return OpenVino(path)


def torchvisions(name: str) -> Session:
    """torchvision's module with the embedded model's weights, for images of the canvas's size."""
    needs_torch("torchvision's own module")
    from benchmarks.lib.peer_sessions import PEERS, Torchvision
    from edgekit.model.checkpoint import load_model

    module, meta = load_model("demo")
    base = module.base
    base.transform.min_size, base.transform.max_size = (min(meta.input_size),), max(meta.input_size)
    return Torchvision(PEERS[name](base.eval()), meta, name)


def stock_session(path: Path) -> Session:
    needs_torch("torchvision's export")
    from edgekit.artifacts.model_names import resolve
    from edgekit.demo.stock_export import StockSession, export_stock
    from edgekit.model.checkpoint import load_model

    if not path.exists():
        export_stock(resolve("demo"), path)
    return StockSession(path, load_model("demo")[1])


def box_ap(session: Session, scenes: Dataset) -> float:
    """Box AP in percent: masks are compared in no row, since torchvision's own are pasted inside it."""
    found = [detect(session, photo.read()) for photo in scenes.photos]
    return round(100 * score(scenes, scenes.photos, found, session.meta).box.AP, 1)


def figures(row: Latency) -> dict[str, Any]:
    """What the page shows of a row."""
    return {
        "runtime": row.runtime,
        "p50_ms": round(row.p50_ms, 2),
        "p90_ms": round(row.p90_ms, 2),
        "p99_ms": round(row.p99_ms, 2),
        "std_ms": round(row.std_ms, 2),
        "inference_p50_ms": round(row.inference_p50_ms, 2),
        "postprocess_p50_ms": round(row.split.postprocess_ms, 2),
        "settled": row.stable,
    }


if __name__ == "__main__":
    main()

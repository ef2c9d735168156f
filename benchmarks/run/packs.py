"""What packs keep, weigh and cost: retention, size, install, compile, latency and precision.

    python -m benchmarks.run.packs retention size install compile latency precision --work /tmp/packs

Each section of the result file is measured apart, and goes on where it stopped; --again measures it anew.

retention: detections that change by any bit, over the demo's photos. size, install: a pack of two classes on R50-FPN,
in megabytes and in seconds of whole commands. compile: TensorRT-RTX, ahead of time on the CPU, of the base's graph in
parts and of a pack's graphs. latency: whole form, parts form and torchvision's export, interleaved, each call after a
pause; then whole and parts form in a stream, each in processes of its own by turns. precision: AP of
new classes by the precision whose features they were learned on, and by the one they run in.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import edgekit
from benchmarks.lib import pack_models, pack_retention
from benchmarks.lib.paths import RESULTS
from benchmarks.lib.processes import in_a_process
from benchmarks.lib.r50 import CLASSES, PHOTOS, SIZE, random_pack
from benchmarks.lib.scenarios import scenes
from benchmarks.lib.sections import Row, Section
from benchmarks.lib.steady import steady
from edgekit.adaptation.features.feature_cache import FeatureStore
from edgekit.adaptation.learning.learning_options import Learning
from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.manifest import BASE, engine_of, read_manifest
from edgekit.data.images import list_images, read_image
from edgekit.demo.run_demo import PHOTOS as SCENES
from edgekit.demo.scenes import NEW_CLASSES
from edgekit.demo.stock_export import StockSession, export_stock
from edgekit.deployment.folder.installing import install as install_packs
from edgekit.deployment.precision.conversion import Conversion
from edgekit.deployment.tensorrt.build_options import EngineOptions
from edgekit.measurement.bench.sessions import time_sessions
from edgekit.runtime.opening import open_session

TIMES = 5  # that installing and removing are timed
CAPABILITY = "8.6"
STOCK = "torchvision's export"
INSTALLED = "chair-cup"
# Runs edgekit's command line, and then says whether that imported PyTorch.
WITHOUT_TORCH = "import sys; from edgekit.cli import main; main(sys.argv[1:]); print('torch' in sys.modules)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="+", choices=list(SECTIONS), metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--work", type=Path, required=True, help="folder for models, which are kept")
    parser.add_argument("--output", type=Path, default=RESULTS / "packs.json", help="result file (.json)")
    parser.add_argument("--again", action="store_true", help="measure what the result file has too")
    parser.add_argument("--photos", type=int, default=SCENES["mixed-test"], help="test photos of each kind")
    parser.add_argument("--epochs", type=int, default=Learning().epochs)
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each precision")
    parser.add_argument("--runs", type=int, default=60, help="timed runs of each form of the embedded model")
    parser.add_argument("--r50-runs", type=int, default=10, help="timed runs of each form of R50-FPN")
    args = parser.parse_args()
    args.work = args.work.absolute()
    args.work.mkdir(parents=True, exist_ok=True)
    for name in args.sections:
        measure, options = SECTIONS[name]
        section = Section(args.output, name, {option: getattr(args, option) for option in options})
        if args.again:
            section.forget()
        measure(section, args)


def retention(section: Section, args: Namespace) -> None:
    """Bits of detections that change, in every form."""
    packs = {name: pack_models.demo_pack(args.work, name, args.epochs) for name in pack_retention.CLASSES}
    photos = [
        p for kind in ("base-test", "mixed-test") for p in scenes(kind, SCENES[kind], args.work).photos[: args.photos]
    ]
    for name, way in pack_retention.ways(args.work, packs).items():
        section.row(name, functools.partial(pack_retention.row, way, photos))


def size(section: Section, args: Namespace) -> None:
    """A pack's size."""
    section.row("R50-FPN, 2 classes", lambda: {"MB": round(r50_pack(args.work).stat().st_size / 1e6, 2)})


def r50_pack(work: Path) -> Path:
    """A pack of two classes for R50-FPN."""
    pack = work / f"{INSTALLED}.pack"
    return pack if pack.exists() else random_pack(pack_models.r50_base(work), pack, CLASSES)


def install(section: Section, args: Namespace) -> None:
    """Seconds to install into a folder, and to remove, as whole processes."""
    pack, folder = r50_pack(args.work), pack_models.copied(pack_models.r50_folder(args.work), "install")
    commands = {"install": ["install", str(pack), str(folder)], "remove": ["remove", INSTALLED, str(folder)]}

    def measured() -> Row:
        taken: dict[str, list[float]] = {name: [] for name in commands}
        imported = {name: says_torch(command) for name, command in commands.items()}  # once before the clock
        for _ in range(TIMES):
            for name, command in commands.items():
                began = time.perf_counter()
                subprocess.run([sys.executable, "-m", "edgekit", *command], check=True, capture_output=True)
                taken[name].append(round(time.perf_counter() - began, 3))
        medians = {f"{name}_seconds": statistics.median(values) for name, values in taken.items()}
        return {**medians, "seconds": taken, "torch_imported": imported}

    section.row("R50-FPN, 2 classes", measured)


def says_torch(command: list[str]) -> bool:
    """Whether a command imports PyTorch."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *command], check=True, capture_output=True, text=True)
    return done.stdout.split()[-1] == "True"


def compile(section: Section, args: Namespace) -> None:
    """Seconds that TensorRT-RTX takes for the base's graph, and for a pack's."""
    folder = pack_models.copied(pack_models.r50_folder(args.work), "compile")
    install_packs(r50_pack(args.work), folder)
    (pack,) = read_manifest(folder).packs
    base = section.row("base", lambda: in_a_process(compiled, folder, [BASE]))
    graphs = [name for name in pack.files if name.endswith(".onnx")]
    own = section.row("pack", lambda: in_a_process(compiled, folder, graphs))
    section.row("ratio", lambda: {"pack_to_base": round(own["total_seconds"] / base["total_seconds"], 3)})


def compiled(folder: Path, graphs: list[str]) -> Row:
    """Compile graphs of a folder ahead of time for one GPU, as an export with engines and an installation do."""
    from edgekit.deployment.tensorrt.build import build_part

    meta, options = read_manifest(folder).meta, EngineOptions(compute_capability=(CAPABILITY,))
    engines = [build_part(folder / name, folder / engine_of(name), meta, options) for name in graphs]
    seconds = {name: engine.seconds for name, engine in zip(graphs, engines, strict=True)}
    return {"total_seconds": round(sum(seconds.values()), 2), "seconds": seconds}


def latency(section: Section, args: Namespace) -> None:
    """Milliseconds of each form with two packs, in turns."""

    def demo() -> Row:
        packs = [pack_models.demo_pack(args.work, name, args.epochs) for name in NEW_CLASSES]
        photos = [p.read() for p in scenes("mixed-test", SCENES["mixed-test"], args.work).photos[:20]]
        return timed("demo", packs, GraphShape(), photos, args.runs, args.work / "latency-demo")

    def r50() -> Row:
        base, packs = pack_models.r50_base(args.work), pack_models.r50_packs(args.work)
        photos = [read_image(path) for path in list_images(PHOTOS / "images")[:8]]
        return timed(base, packs, GraphShape(SIZE), photos, args.r50_runs, args.work / "latency-r50")

    section.row("demo", demo)
    section.row("R50-FPN", r50)


def timed(
    base: str | Path, packs: list[Path], shape: GraphShape, photos: list[np.ndarray], runs: int, work: Path
) -> Row:
    """Medians of interleaved runs, and their ratios."""
    work.mkdir(exist_ok=True)
    files: dict[str, Path] = {}
    for target, title in (("tensorrt", ""), ("cpu", ", for CPUs")):
        for form, end in (("whole", ".onnx"), ("parts", "")):
            files[f"{form}{title}"] = work / f"{form}-{target}{end}"
            conversion = Conversion(target=target)
            edgekit.export(base, files[f"{form}{title}"], conversion=conversion, packs=packs, verify=False, shape=shape)
    adapted, stock = pack_models.adapted_checkpoint(base, packs, work / "adapted.safetensors"), work / "stock.onnx"
    in_a_process(stock_exported, adapted, stock)
    sessions: dict[str, Any] = {name: open_session(file) for name, file in files.items()}
    sessions[STOCK] = StockSession(stock, sessions["whole"].meta)
    rows = {row.artifact: row for row in time_sessions(sessions, photos, runs)}
    total, size = {name: row.p50_ms for name, row in rows.items()}, sessions["whole"].meta.input_size
    del sessions  # whose threads would run beside those of other processes
    return {
        "input_size": size,
        "in_a_stream": steady(files, photos, 2 * runs),
        "p50_ms": total,
        "inference_p50_ms": {name: row.inference_p50_ms for name, row in rows.items()},
        "objects_per_image": {name: row.objects_per_image for name, row in rows.items()},
        "time_relative_to_whole": {name: round(ms / total["whole"], 3) for name, ms in total.items()},
        "times_as_fast_as_torchvisions_export": {name: round(total[STOCK] / ms, 3) for name, ms in total.items()},
    }


def stock_exported(checkpoint: Path, output: Path) -> Row:
    export_stock(checkpoint, output)
    return {}


def precision(section: Section, args: Namespace) -> None:
    """AP of the new classes by the precision that they were learned in, and that they run in."""
    learned = ("fp32", "fp16", "int8, for TensorRT", "int8, for CPUs")
    ways = [(form, form) for form in learned] + [("fp32", form) for form in learned[1:]]
    rows: dict[str, list[Row]] = {}
    for seed in range(args.seeds):
        for own, runs in ways:
            measure = functools.partial(new_ap, own, runs, seed, args)
            rows.setdefault(f"learned in {own}, run in {runs}", []).append(
                section.row(f"learned in {own}, run in {runs}, seed {seed}", measure)
            )
    first = next(iter(rows.values()))
    for name, own_rows in rows.items():
        pairs = list(zip(own_rows, first, strict=True))
        means = {key: round(float(np.mean([row[key] for row in own_rows])), 2) for key in first[0]}
        means |= {f"{key}_to_fp32": round(float(np.mean([a[key] - b[key] for a, b in pairs])), 2) for key in first[0]}
        section.row(f"{name}, mean of {args.seeds}", functools.partial(dict, means))


def new_ap(own: str, runs: str, seed: int, args: Namespace) -> Row:
    """AP in percent of packs learned in one precision and run in another."""
    folder, learn = pack_models.demo_folder(args.work, own), scenes("new-train", SCENES["new-train"], args.work, seed)
    pack = args.work / f"epochs-{args.epochs}" / f"{pack_models.file_name(own)}-{seed}.pack"
    pack.parent.mkdir(exist_ok=True)
    if not pack.exists():
        learning, store = Learning(seed=seed, epochs=args.epochs), FeatureStore(args.work / "cache")
        edgekit.adapt(folder, learn.file, learn.file.parent, pack, NEW_CLASSES, learning=learning, store=store)
    deployed = pack_models.copied(pack_models.demo_folder(args.work, runs), "precision")
    install_packs(pack, deployed, force=own != runs)
    test = scenes("mixed-test", args.photos, args.work)
    new = edgekit.evaluate(deployed, test.file, test.file.parent).new
    assert new is not None
    assert new.mask is not None
    return {"new_box_AP": round(100 * new.box.AP, 2), "new_mask_AP": round(100 * new.mask.AP, 2)}


# What measures a section, and the options that it depends on.
SECTIONS: dict[str, tuple[Callable[[Section, Namespace], None], tuple[str, ...]]] = {
    "retention": (retention, ("photos", "epochs")),
    "size": (size, ()),
    "install": (install, ()),
    "compile": (compile, ()),
    "latency": (latency, ("runs", "r50_runs", "epochs")),
    "precision": (precision, ("photos", "epochs")),
}


if __name__ == "__main__":
    main()

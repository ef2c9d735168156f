"""The demo's models: the embedded base, adapted by edgekit and by torchvision's own loop, and their exports."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from edgekit.adaptation.adapt import Adaptation, FeatureStore, Learning, adapt
from edgekit.artifacts.safetensors_files import read_safetensors
from edgekit.data.annotations.dataset import Dataset
from edgekit.demo.naive_loop import fine_tune_naively
from edgekit.demo.scenes import NEW_CLASSES
from edgekit.demo.stock_export import StockSession, export_stock
from edgekit.deployment.export.export import Export, export
from edgekit.deployment.precision.conversion import Conversion
from edgekit.files.whole_files import staging
from edgekit.model.checkpoint import load_model, save_model
from edgekit.progress import Track
from edgekit.runtime.opening import open_session
from edgekit.runtime.session import Session

BASE = "demo"  # the name of the embedded model
INT8 = "adapted-int8.onnx"
MODELS = ("adapted.safetensors", "adapted.onnx", INT8, "naive.safetensors", "base.onnx", "torchvision.onnx")
# What stays in float32 in 8 bits: the first blocks, which a search (--keep auto, 3 minutes) finds the most sensitive.
KEEP = ("body.0", "body.1")
PARTS = "adapted"  # the folder of the adapted model in parts
LOOP_EPOCHS = 12  # of torchvision's loop; its time for as many as edgekit's is extrapolated


@dataclass(frozen=True)
class ModelSet:
    """What making the models gave: the files are MODELS and the table of INT8 in one folder."""

    adaptation: Adaptation
    loop_seconds: float  # that torchvision's loop took
    exported: Export  # the adapted model's graph
    int8: Export  # the same in 8 bits


def make_models(folder: Path, learned: Dataset, seed: int, track: Track) -> ModelSet:
    """Adapt the base model to the photos ``learned`` in both ways, and write all MODELS to ``folder``."""
    adapted, naive = folder / "adapted.safetensors", folder / "naive.safetensors"
    with staging(folder) as cache:  # a new cache, so that the times are those of a first run
        learning, store = Learning(seed=seed), FeatureStore(cache)
        photos = learned.file.parent
        adaptation = adapt(BASE, learned.file, photos, adapted, learning=learning, store=store, track=track)
    base, meta = load_model(BASE)
    module, seconds = fine_tune_naively(base, learned.photos, NEW_CLASSES, meta.input_size, LOOP_EPOCHS, seed, track)
    _, adapted_meta = read_safetensors(adapted)
    save_model(naive, module, dataclasses.replace(adapted_meta, scoring="joint"))
    exported = export(adapted, folder / "adapted.onnx", track=track)
    conversion = Conversion("int8", target="cpu", calibration=photos, keep=KEEP)
    int8 = export(adapted, folder / INT8, conversion=conversion, track=track)
    export(adapted, folder / PARTS, force=True, track=track)
    export(BASE, folder / "base.onnx", track=track)
    for _ in track(range(1), "torchvision's own export"):
        export_stock(adapted, folder / "torchvision.onnx")
    return ModelSet(adaptation, seconds, exported, int8)


def open_models(folder: Path) -> dict[str, Session]:
    """The models to evaluate, by name; checkpoints run in PyTorch, graphs in onnxruntime."""
    return {
        "base": open_session(BASE),
        "adapted": open_session(folder / "adapted.safetensors"),
        "naive": open_session(folder / "naive.safetensors"),
        "base.onnx": open_session(folder / "base.onnx"),
        "adapted.onnx": open_session(folder / "adapted.onnx"),
        INT8: open_session(folder / INT8),
        "adapted/": open_session(folder / PARTS),
    }


def timed_models(folder: Path, sessions: dict[str, Session]) -> dict[str, Session]:
    """Of the open models those to time, by the names to report, with torchvision's export beside edgekit's."""
    titles = {"base": "base", "adapted": "adapted", INT8: f"{INT8} (edgekit, 8 bits)"}
    timed = {titles.get(n, f"{n} (edgekit)"): s for n, s in sessions.items() if n != "naive"}
    stock = StockSession(folder / "torchvision.onnx", sessions["adapted"].meta)
    return {**timed, "adapted.onnx (torchvision's export)": stock}

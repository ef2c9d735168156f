"""Base models, packs for them, and folders of models in parts, each made unless it is there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import edgekit
from benchmarks.lib.r50 import CLASSES, PHOTOS, SIZE, as_checkpoint, prepare
from benchmarks.lib.scenarios import scenes
from edgekit.adaptation.features.feature_cache import FeatureStore
from edgekit.adaptation.learning.learning_options import Learning
from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.pack_files import read_packs
from edgekit.demo.run_demo import PHOTOS as SCENES
from edgekit.deployment.precision.conversion import Conversion
from edgekit.model.checkpoint import load_model, save_model

R50_LEARNED = 8  # photos
IN_PARTS = {  # what folders are exported with
    "fp32": Conversion(),
    "fp32, for CPUs": Conversion(target="cpu"),
    "fp16": Conversion("fp16"),
    "int8, for TensorRT": Conversion("int8", "tensorrt"),
    "int8, for CPUs": Conversion("int8", "cpu"),
}


def file_name(name: str) -> str:
    """A row's name as a file's."""
    return name.replace(", ", "-").replace(" ", "-")


def demo_pack(work: Path, name: str, epochs: int) -> Path:
    """A pack of one class for the embedded model, learned from the demo's scenes."""
    pack, learn = work / f"epochs-{epochs}" / f"{name}.pack", scenes("new-train", SCENES["new-train"], work)
    pack.parent.mkdir(exist_ok=True)
    if not pack.exists():
        learning, store = Learning(epochs=epochs), FeatureStore(work / "cache")
        edgekit.adapt("demo", learn.file, learn.file.parent, pack, (name,), learning=learning, store=store)
    return pack


def demo_folder(work: Path, form: str) -> Path:
    """The embedded model in parts, without packs."""
    folder = work / f"demo-{file_name(form)}"
    if not folder.exists():
        options = IN_PARTS[form]
        if options.precision == "int8":
            calibration = scenes("base-test", SCENES["base-test"], work).file.parent
            options = Conversion("int8", options.target, calibration)
        edgekit.export("demo", folder, conversion=options, verify=False)
    return folder


def r50_base(work: Path) -> Path:
    """The checkpoint of R50-FPN with random weights."""
    checkpoint = work / "r50.safetensors"
    return checkpoint if checkpoint.exists() else as_checkpoint(work)[0]


def r50_packs(work: Path) -> list[Path]:
    """A pack of each of two classes for it, learned from a few photos, so that they find about what they should."""
    base, packs = r50_base(work), [work / f"{name}.pack" for name in CLASSES]
    if not all(pack.exists() for pack in packs):
        data, learning = prepare(work, R50_LEARNED)[2], Learning(views=2, epochs=20)
        for pack in packs:
            store = FeatureStore(work / "cache")
            edgekit.adapt(base, data, PHOTOS / "images", pack, (pack.stem,), learning=learning, store=store)
    return packs


def r50_folder(work: Path) -> Path:
    """R50-FPN in parts, without packs."""
    folder = work / "r50-parts"
    if not folder.exists():
        edgekit.export(r50_base(work), folder, verify=False, shape=GraphShape(SIZE))
    return folder


def adapted_checkpoint(base: str | Path, packs: Sequence[Path], output: Path) -> Path:
    """A base model with packs built in."""
    save_model(output, *load_model(base, packs=read_packs(packs)))
    return output


def copied(folder: Path, name: str) -> Path:
    """A new copy of a folder beside it, to install packs into."""
    copy = folder.with_name(f"{folder.name}-{name}")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    return copy

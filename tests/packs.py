"""Packs of random weights that find something, and base models to install them into."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.artifacts.onnx_files import OnnxFile
from edgekit.artifacts.pack_files import Pack, Parent, write_pack
from edgekit.demo.scenes import render_scene
from edgekit.deployment.export.export import export
from edgekit.deployment.folder.installing import install
from edgekit.model.checkpoint import fingerprint, load_model, mask_layer_in, read_checkpoint, save_model
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.packs import generation_of, tensors_of
from edgekit.model.predictors import Generation
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.parts_session import PartsSession
from edgekit.runtime.session import Outputs

Found = Sequence[Outputs]  # of several canvases


def random_generation(
    classes: int, box_features: int, mask_channels: tuple[int, int] | None, adapter: bool, seed: int = 0
) -> Generation:
    """Rows that find much: scores are spread, and above the base model's."""
    torch.manual_seed(1000 * seed + classes)
    generation = Generation(classes, box_features, mask_channels, adapter)
    for parameter in generation.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    scored = generation.cls_score if generation.adapter is None else generation.adapter.cls_score
    torch.nn.init.normal_(scored.weight, std=0.1)
    with torch.no_grad():
        scored.bias += 4
    return generation.eval()


def random_pack(
    name: str,
    classes: int = 2,
    adapter: bool = True,
    parents: Sequence[Pack] = (),
    base: str | Path = "demo",
    precision: str = "fp32",
    size: tuple[int, int] | None = None,
) -> Pack:
    """A pack for a checkpoint; its weights depend on its name."""
    weights, meta = read_checkpoint(base)
    first = mask_layer_in(weights.tensors)
    features = weights.tensors["roi_heads.box_predictor.cls_score.weight"].shape[1]
    mask_channels = (first["weight"].shape[0], first["weight"].shape[1]) if first else None
    generation = random_generation(classes, features, mask_channels, adapter, seed=sum(name.encode()))
    return Pack(
        name,
        tuple(f"{name} {number}" for number in range(classes)),
        fingerprint(weights.tensors, meta),
        tensors_of(generation, first),
        size or meta.input_size,
        meta.architecture,
        precision,
        tuple(Parent(parent.name, parent.sha256) for parent in parents),
    )


def write_packs(folder: Path, *packs: Pack) -> list[Path]:
    """Write packs to files of their names."""
    for pack in packs:
        write_pack(folder / f"{pack.name}.pack", pack)
    return [folder / f"{pack.name}.pack" for pack in packs]


def write_built_in(path: Path, *packs: Pack, base: str | Path = "demo") -> Path:
    """Write a checkpoint with generations built in, each trained on top of those before: the weights of packs."""
    module, meta = load_model(base)
    for pack in packs:
        meta = meta.with_generation(pack.classes)
    save_model(path, GenerationalRCNN(module.base, [generation_of(pack.tensors) for pack in packs]), meta)
    return path


@cache
def scenes(count: int = 3) -> tuple[np.ndarray, ...]:
    """Drawn scenes, of the demo's input size."""
    return tuple(render_scene("mixed-test", number).image for number in range(count))


def found_by(model: Path | OnnxFile, canvases: Sequence[np.ndarray] | None = None) -> Found:
    """What a graph finds in canvases, by default some scenes; without empty slots."""
    session = OnnxSession(model, "cpu")
    return [real(session.infer(pixels)) for pixels in (scenes() if canvases is None else canvases)]


def real(outputs: Outputs) -> Outputs:
    """Detections without empty slots."""
    return Outputs(*(values[outputs.scores > 0] for values in outputs))


def of_classes(found: Found, categories: Sequence[str], names: Sequence[str]) -> Found:
    """The detections of some classes, in their order, labelled by their places in ``names``."""
    places = {categories.index(name): place for place, name in enumerate(names)}
    result = []
    for outputs in found:
        own = Outputs(*(values[np.isin(outputs.labels, list(places))] for values in outputs))
        result.append(own._replace(labels=np.array([places[label] for label in own.labels], np.int64)))
    return result


def assert_same(one: Found, other: Found, tolerance: float | None = None) -> None:
    """Assert that detections are the same, to the last bit or within a tolerance, and that there are some."""
    assert sum(len(outputs.scores) for outputs in one) > 0, "nothing was found: the test shows nothing"
    for ours, theirs in zip(one, other, strict=True):
        for name in Outputs._fields:
            a, b = getattr(ours, name), getattr(theirs, name)
            same = (
                np.array_equal(a, b) if tolerance is None else a.shape == b.shape and np.allclose(a, b, atol=tolerance)
            )
            assert same, name


def parts_of(base_onnx: Path, folder: Path, *packs: Pack, **options: Any) -> Path:
    """Export a graph in parts to ``folder``, and install packs there."""
    export(base_onnx, folder, verify=False, **options)
    if packs:
        with tempfile.TemporaryDirectory() as temporary:
            install(write_packs(Path(temporary), *packs), folder, force=True)
    return folder


def found_in_parts(
    folder: Path, canvases: Sequence[np.ndarray] | None = None, packs: Sequence[str] | None = None
) -> Found:
    """What a folder finds in canvases, by default some scenes, with all or some of its packs."""
    session = PartsSession(folder, packs, "cpu")
    return [session.infer(pixels) for pixels in (scenes() if canvases is None else canvases)]

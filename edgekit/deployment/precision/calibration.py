"""Measures the range of each value of a graph on photos, and keeps the ranges in a table that people can read."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx

from edgekit.artifacts.graph_shapes import canvases_of
from edgekit.data.images import fit, list_images, read_image
from edgekit.deployment.quiet import quiet
from edgekit.errors import EdgekitError
from edgekit.files.reading import read_text
from edgekit.files.whole_files import sha256, write_text
from edgekit.progress import Track, silent

PERCENTILE = 99.99  # of a value's elements that its range must hold
BINS = 4096  # of a histogram at first, half of them below zero
FORMAT = "edgekit calibration 2"


@dataclass(frozen=True)
class Range:
    """A value's range, and the step of signed 8-bit numbers that are symmetric about zero and cover it."""

    min: float
    max: float
    scale: float


@dataclass(frozen=True)
class Table:
    """The ranges of a graph's values, and what they were measured on."""

    graph_sha256: str
    input_size: tuple[int, int]
    images: Mapping[str, str]  # file name -> SHA-256
    tensors: Mapping[str, Range]


def calibrate(
    model: onnx.ModelProto,
    values: Iterable[str],
    folder: Path,
    input_size: tuple[int, int],
    table: Path | None = None,
    track: Track = silent,
) -> Table:
    """Measure the ranges of a graph's ``values`` on the photos of a folder, or read them from ``table`` if it fits.

    A range holds ``PERCENTILE`` of a value's elements. A table that was made of another graph, input size or other
    photos is measured anew and written again.
    """
    photos = list_images(folder)
    wanted = sorted(set(values))
    empty = Table(graph_hash(model), input_size, {p.name: sha256(p) for p in photos}, {})
    if table is not None and table.exists():
        held = read_table(table)
        if replace(held, tensors={}) == empty and set(wanted) <= set(held.tensors):
            return held
    made = replace(empty, tensors=_measure(model, wanted, photos, input_size, PERCENTILE, track))
    if table is not None:
        write_table(table, made)
    return made


def extremes(
    model: onnx.ModelProto,
    values: Iterable[str],
    folder: Path,
    input_size: tuple[int, int],
    track: Track = silent,
) -> dict[str, Range]:
    """The smallest and largest of each of a graph's ``values`` on the photos of a folder."""
    return _measure(model, sorted(set(values)), list_images(folder), input_size, None, track)


def graph_hash(model: onnx.ModelProto) -> str:
    """The SHA-256 of what a graph computes: its nodes and weights, not the notes that the exporter left in it."""
    digest = hashlib.sha256()
    for node in model.graph.node:
        bare = type(node)(op_type=node.op_type, input=node.input, output=node.output, attribute=node.attribute)
        digest.update(bare.SerializeToString(deterministic=True))
    for tensor in model.graph.initializer:
        digest.update(tensor.name.encode())
        digest.update(tensor.raw_data or tensor.SerializeToString(deterministic=True))
    return digest.hexdigest()


def table_of(graph: Path) -> Path:
    """Where the table of an exported graph is."""
    return graph.with_suffix(".calibration.json")


def write_table(path: Path, table: Table) -> None:
    """Write a table as JSON, one value per line."""
    rows = {name: json.dumps(asdict(found)) for name, found in sorted(table.tensors.items())}
    lines = ",\n".join(f"  {json.dumps(name)}: {row}" for name, row in rows.items())
    head = {
        "format": FORMAT,
        "percentile": PERCENTILE,
        "images_count": len(table.images),
        "input_size": table.input_size,
        "graph_sha256": table.graph_sha256,
        "images": dict(table.images),
    }
    text = json.dumps(head, indent=1).removesuffix("\n}")
    write_text(path, f'{text},\n "tensors": {{\n{lines}\n }}\n}}\n')


def read_table(path: Path) -> Table:
    """Read what ``write_table`` wrote; raises EdgekitError for any other file."""
    remedy = "remove it, or give a table that edgekit wrote"
    try:
        found: dict[str, Any] = json.loads(read_text(path))
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']}, not {FORMAT}")
        height, width = found["input_size"]
        tensors = {name: Range(**row) for name, row in found["tensors"].items()}
        numbers = [v for r in tensors.values() for v in (r.min, r.max, r.scale)]
        if not np.isfinite(np.asarray(numbers, float)).all():
            raise ValueError("a range is not finite")
        return Table(found["graph_sha256"], (height, width), found["images"], tensors)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EdgekitError(f"{path}: is not a calibration table: {error}", remedy) from None


def fits(table: Table, model: onnx.ModelProto, path: Path) -> None:
    """Raise EdgekitError if a table was made of another graph."""
    if table.graph_sha256 != graph_hash(model):
        raise EdgekitError(f"{path}: was calibrated on another graph", "give --calibration the folder of photos again")


def canvas(photo: Path, size: tuple[int, int]) -> np.ndarray:
    """A photo as the input of a graph for one image per run: uint8 [1, H, W, 3]."""
    return fit(read_image(photo), size).pixels[None]


def _measure(
    model: onnx.ModelProto,
    values: Sequence[str],
    photos: Sequence[Path],
    size: tuple[int, int],
    percentile: float | None,  # of a value's elements that its range must hold; None: all of them
    track: Track,
) -> dict[str, Range]:
    """Run a graph on photos with onnxruntime's own calibrators, photo by photo: histograms stay, activations go."""
    from onnxruntime.quantization.calibrate import MinMaxCalibrater, PercentileCalibrater

    infos = {v.name: v for v in [*model.graph.value_info, *model.graph.input, *model.graph.output]}
    name, count = model.graph.input[0].name, canvases_of(model)
    with tempfile.TemporaryDirectory() as folder:
        source, augmented = Path(folder) / "graph.onnx", str(Path(folder) / "augmented.onnx")
        onnx.save(model, source)
        kind: Any = (
            partial(PercentileCalibrater, num_bins=BINS, percentile=percentile) if percentile else MinMaxCalibrater
        )
        calibrator = kind(source, augmented_model_path=augmented)
        calibrator.select_tensors_to_calibrate = lambda _model: (list(values), infos)
        with quiet():
            calibrator.augment_graph()
            calibrator.create_inference_session()
        for photo in track(photos, "calibrating"):
            with quiet():
                calibrator.collect_data(_reader({name: np.repeat(canvas(photo, size), count, axis=0)}))
        with quiet():
            found = calibrator.compute_data()
    return {v: _range(*(float(np.ravel(x)[0]) for x in found[v].range_value)) for v in values}


def _reader(feed: dict[str, np.ndarray]) -> Any:
    """onnxruntime's CalibrationDataReader of one photo: its input, then None."""
    return SimpleNamespace(get_next=iter((feed, None)).__next__)


def _range(low: float, high: float) -> Range:
    """A range that holds zero, which padding and ReLU need to be exact."""
    low, high = min(low, 0.0), max(high, 0.0)
    return Range(low, high, max(-low, high, 1e-12) / 127)

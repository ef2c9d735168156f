"""AP of portrait and landscape photos by the input's shape: landscape, portrait, and square for both.

    python -m benchmarks.run.canvases --work /tmp/canvases

The base of real photos in ../shared/real/everyday, whose photos are 400 pixels long, is exported for each shape and
evaluated on its validation photos of each orientation.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import edgekit
from benchmarks.lib.paths import RESULTS
from benchmarks.lib.sections import Row, Section
from benchmarks.run.overlaps import EVERYDAY
from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.formats import read_dataset
from edgekit.measurement.evaluate import evaluate_session
from edgekit.model.hints import CheckpointHints
from edgekit.progress import silent
from edgekit.runtime.onnx_session import OnnxSession

SIZES = {"landscape": (256, 320), "portrait": (320, 256), "square": (320, 320)}
SLANT = 1.15  # of the longer side to the shorter one, from which a photo counts as landscape or portrait


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for graphs, which are kept")
    parser.add_argument("--output", type=Path, default=RESULTS / "canvases.json", help="result file (.json)")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    photos = read_dataset(EVERYDAY / "instances_val.json", EVERYDAY / "images")
    section = Section(args.output, "real photos", {"sizes": SIZES, "slant": SLANT})
    for shape, size in SIZES.items():
        graph = args.work / f"{shape}.onnx"
        if not graph.exists():
            hints = CheckpointHints(EVERYDAY / "base_11_classes.txt", "maskrcnn_mobilenet_v2_fpn")
            base = EVERYDAY / "base_11_classes.safetensors"
            edgekit.export(base, graph, hints=hints, shape=GraphShape(size), verify=False)
        for orientation, some in by_orientation(photos).items():
            section.row(f"{orientation} photos, {shape} input", partial(average_precision, graph, some))


def by_orientation(dataset: Dataset) -> dict[str, Dataset]:
    """The photos that are clearly landscape, and those that are clearly portrait."""
    wide = tuple(p for p in dataset.photos if p.width >= SLANT * p.height)
    tall = tuple(p for p in dataset.photos if p.height >= SLANT * p.width)
    return {"landscape": replace(dataset, photos=wide), "portrait": replace(dataset, photos=tall)}


def average_precision(graph: Path, photos: Dataset) -> Row:
    """AP in percent."""
    session = OnnxSession(graph)
    found = evaluate_session(session, photos, graph.stem, silent)
    assert found.mask is not None
    return {
        "input_size": session.meta.input_size,
        "photos": len(photos.photos),
        "box_AP": round(100 * found.box.AP, 2),
        "box_AP50": round(100 * found.box.AP50, 2),
        "mask_AP": round(100 * found.mask.AP, 2),
        "mask_AP50": round(100 * found.mask.AP50, 2),
    }


if __name__ == "__main__":
    main()

"""How much of what PyTorch detects with Mask R-CNN R50-FPN its exported graph detects too, on photos.

    python -m benchmarks.run.r50_parity --work /tmp/r50 --output benchmarks/results/r50_parity.json

Weights are random (see benchmarks/lib/r50.py), photos are COCO's in ../shared/photos. A detection matches within the
tolerance that every export is held to (``edgekit compare``). Random weights score their classes nearly alike, which
makes the comparison harder than a trained model does: a last bit decides which box or class comes first.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import edgekit
from benchmarks.lib.r50 import PHOTOS, SIZE, as_checkpoint, link_photos
from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.metadata import tool_versions
from edgekit.comparison.tolerance import TOLERANCES
from edgekit.data.images import list_images
from edgekit.files.whole_files import write_text
from edgekit.measurement.machine.system import machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the model and its graph")
    parser.add_argument("--output", type=Path, required=True, help="result file to write (.json)")
    parser.add_argument("--photos", type=int, default=100)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    checkpoint = as_checkpoint(args.work)[0]
    graph = edgekit.export(checkpoint, args.work / "parity.onnx", verify=False, shape=GraphShape(SIZE)).output
    photos = link_photos(list_images(PHOTOS / "images")[: args.photos], args.work / "parity-photos")
    found = edgekit.compare(checkpoint, graph, images=photos)
    parity = found.verification.parity
    result: dict[str, Any] = {
        "model": "maskrcnn_resnet50_fpn, random weights",
        "size": SIZE,
        "runtimes": found.runtimes,
        "tolerance": dataclasses.asdict(TOLERANCES["fp32"]),
        "matched_share": round(parity.matched_share, 5),
        "parity": dataclasses.asdict(parity),
        "stages": [dataclasses.asdict(s) for s in found.stages],
        "machine": machine(),
        "versions": tool_versions(),
    }
    write_text(args.output, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

"""Seconds and memory to the graph of Mask R-CNN R50-FPN: the base model's, in parts, and with a pack.

    python -m benchmarks.run.r50_assembly --work /tmp/r50 --output benchmarks/results/r50_assembly.json

Weights are random (see benchmarks/lib/r50.py). Each step runs in a process of its own; the cache is empty before the
first. What installing the pack into the folder takes is in benchmarks/run/packs.py.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch

import edgekit
from benchmarks.lib.processes import in_a_process
from benchmarks.lib.r50 import SIZE, as_checkpoint, random_pack
from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.metadata import tool_versions
from edgekit.files.whole_files import write_text
from edgekit.measurement.machine.system import machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for models and graphs")
    parser.add_argument("--output", type=Path, required=True, help="result file to write (.json)")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    base, graph, folder = as_checkpoint(args.work)[0], args.work / "r50.onnx", args.work / "r50-assembly"
    pack = random_pack(base, args.work / "chicken-frog.pack", ("chicken", "frog"))
    os.environ["EDGEKIT_CACHE"] = str(args.work / "graph-cache")
    shutil.rmtree(args.work / "graph-cache", ignore_errors=True)
    steps = {
        "base": in_a_process(export, base, graph),
        "base, again": in_a_process(export, base, graph),
        "base, in parts": in_a_process(export, base, folder),
        "base with a pack": in_a_process(export, base, graph, pack),
        "base with a pack, in parts": in_a_process(export, base, folder, pack),
    }
    result = {"model": "maskrcnn_resnet50_fpn, random weights", "size": SIZE, "steps": steps}
    result |= {"machine": machine() | {"threads": torch.get_num_threads()}, "versions": tool_versions()}
    write_text(args.output, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def export(checkpoint: Path, output: Path, *packs: Path) -> dict[str, Any]:
    """Export a graph or a folder; the seconds include writing it."""
    return {"seconds": edgekit.export(checkpoint, output, packs=packs, verify=False, shape=GraphShape(SIZE)).seconds}


if __name__ == "__main__":
    main()

"""Seconds and memory to the graph of Mask R-CNN R50-FPN: the base model's, and an adapted one's.

    python -m benchmarks.run.r50_assembly --work /tmp/r50 --output benchmarks/results/r50_assembly.json

Weights are random (see benchmarks/lib/r50.py). Each step runs in a process of its own; the cache is empty before the
first.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch

import edgekit
from benchmarks.lib.processes import in_a_process
from benchmarks.lib.r50 import SIZE, as_checkpoint
from edgekit.adaptation.learning.initialise import new_generation
from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.metadata import tool_versions
from edgekit.deployment.assembly import assembling as assembly
from edgekit.files.whole_files import write_text
from edgekit.measurement.machine.system import machine
from edgekit.model.checkpoint import read_checkpoint, save_model
from edgekit.model.generations import GenerationalRCNN

ADAPTATIONS = 2  # the second has other weights of the same shapes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for models and graphs")
    parser.add_argument("--output", type=Path, required=True, help="result file to write (.json)")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    base, module, meta = as_checkpoint(args.work)
    adapted, graph = args.work / "r50-adapted.safetensors", args.work / "r50.onnx"
    os.environ["EDGEKIT_CACHE"] = str(args.work / "graph-cache")
    shutil.rmtree(args.work / "graph-cache", ignore_errors=True)

    steps = {"base": in_a_process(export, base, graph)}
    grown = dataclasses.replace(meta, generations=(*meta.generations, ("chicken", "frog")))
    for number in range(ADAPTATIONS):
        torch.manual_seed(number)
        generation = new_generation(module.predictors, 2, "random", meta.categories, adapter=True)
        save_model(adapted, GenerationalRCNN(module.base, [generation]), grown)
        steps[f"adaptation {number + 1}, prepared by adapt"] = in_a_process(prepare_export, adapted)
        steps[f"adaptation {number + 1}, exported"] = in_a_process(export, adapted, graph)
    result = {"model": "maskrcnn_resnet50_fpn, random weights", "size": SIZE, "steps": steps}
    result |= {"machine": machine() | {"threads": torch.get_num_threads()}, "versions": tool_versions()}
    write_text(args.output, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def export(checkpoint: Path, output: Path) -> dict[str, Any]:
    done = edgekit.export(checkpoint, output, verify=False, shape=GraphShape(SIZE))
    return {"graph_seconds": done.graph_seconds, "written_seconds": done.seconds}


def prepare_export(adapted: Path) -> dict[str, Any]:
    """What ``edgekit adapt`` does at its end where the base model was exported before."""
    began = time.monotonic()
    assembly.prepare_export(adapted, *read_checkpoint(adapted))
    return {"graph_seconds": round(time.monotonic() - began, 2)}


if __name__ == "__main__":
    main()

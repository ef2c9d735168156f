from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.data.coco import Dataset
from edgekit.model.checkpoint import load_model


@pytest.mark.slow
def test_two_processes_learn_what_one_does(new_train: Dataset, tmp_path: Path) -> None:
    arguments = [
        "-m",
        "edgekit",
        "adapt",
        "demo",
        "--data",
        str(new_train.file),
        "--images",
        str(new_train.file.parent),
    ]
    arguments += ["--epochs", "2", "--views", "2", "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    outputs = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    starts = [[sys.executable], [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]]
    for start, output in zip(starts, outputs, strict=True):
        command = [*start, *arguments, "-o", str(output), "--cache", str(output.with_suffix(".cache"))]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["proof"]["retention"]["changed"] == 0  # one report, not one a process
    one, two = (load_model(o)[0].predictors.generations[0].state_dict() for o in outputs)
    # Gradients are summed in another order; AdamW turns that into steps that differ by up to its learning rate where a
    # gradient is near zero.
    for name, value in one.items():
        assert (value - two[name]).abs().mean() < 1e-4, name

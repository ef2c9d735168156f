from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.data.coco import Dataset
from edgekit.model.checkpoint import load_model

CHECK = """
import torch

from edgekit.adaptation.processes import processes
from edgekit.errors import EdgekitError

with processes() as ranks:
    nobodys, one, both = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
    both.grad = torch.ones(2)
    if not ranks.first:
        one.grad = torch.ones(2)
    ranks.sum_gradients([nobodys, one, both])
    assert nobodys.grad is None
    assert one.grad.tolist() == [1, 1]
    assert both.grad.tolist() == [2, 2]
    assert ranks.together(lambda: ranks.rank) == ranks.rank

    def fail():
        if ranks.first:
            raise EdgekitError("the old AP fell", "use another --protect")

    try:
        ranks.together(fail)
    except EdgekitError as error:
        print(f"{ranks.rank}: {error}", flush=True)
"""


def test_processes_agree_on_errors_and_gradients(tmp_path: Path) -> None:
    script = tmp_path / "check.py"
    script.write_text(CHECK)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert all(f"{rank}: the old AP fell (use another --protect)" in done.stdout for rank in (0, 1))


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

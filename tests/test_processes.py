from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.cli import main
from edgekit.data.annotations.dataset import Dataset
from edgekit.model.checkpoint import load_model
from edgekit.processes import Processes, launched

CHECK = """
import torch

from edgekit.processes import processes
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


TORCHRUN = {"RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "1234", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Processes(0, 1)),
        ({"RANK": "1"}, Processes(0, 1)),
        ({"RANK": "abc"}, Processes(0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "1"}, Processes(0, 1)),
        ({"RANK": "1", "WORLD_SIZE": ""}, Processes(0, 1)),
        ({**TORCHRUN, "WORLD_SIZE": "2"}, Processes(1, 2)),
    ],
)
def test_what_counts_as_a_launch(
    environment: dict[str, str], expected: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_only(environment, monkeypatch)
    assert launched() == expected


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"MASTER_ADDR": None}, "WORLD_SIZE=2, but MASTER_ADDR not set"),
        (dict.fromkeys(TORCHRUN), "but RANK, MASTER_ADDR, MASTER_PORT, LOCAL_RANK, LOCAL_WORLD_SIZE not set"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE=two: not a whole number"),
        ({"RANK": "-1"}, "RANK=-1: not a whole number"),
        ({"MASTER_PORT": "http"}, "MASTER_PORT=http: not a whole number"),
        ({"RANK": "2"}, "RANK=2: ranks of WORLD_SIZE=2 are 0 to 1"),
    ],
)
def test_an_incomplete_launch_is_an_error(
    changed: dict[str, str | None],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    environment = {**TORCHRUN, "WORLD_SIZE": "2", **changed}
    set_only({name: value for name, value in environment.items() if value is not None}, monkeypatch)
    arguments = ["adapt", "demo", "--data", "none.json", "--images", "none", "-o", str(tmp_path / "x.safetensors")]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "torchrun" in error


@pytest.mark.parametrize("environment", [{"RANK": "1"}, {"RANK": "abc"}, {**TORCHRUN, "WORLD_SIZE": "2"}])
def test_only_adapt_is_silenced(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_only(environment, monkeypatch)
    assert main(["inspect", "demo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def set_only(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*TORCHRUN, "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


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

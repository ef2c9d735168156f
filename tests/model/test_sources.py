from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from edgekit.errors import EdgekitError
from edgekit.model.sources import read_weights

STATE = {"a.weight": torch.tensor([[1.0, 2.0]]), "a.count": torch.tensor(3)}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"model": s, "optimizer": {"state": {}}, "epoch": 3, "args": argparse.Namespace(lr=0.1)},
        lambda s: {"state_dict": {f"model.{n}": t for n, t in s.items()}},
        lambda s: {"model_state_dict": {f"module.model.{n}": t for n, t in s.items()}},
        lambda s: {"model": {"state_dict": {f"_orig_mod.{n}": t for n, t in s.items()}}},
        lambda s: {n: t.half() if t.is_floating_point() else t for n, t in s.items()},
        lambda s: {n: t.bfloat16() if t.is_floating_point() else t for n, t in s.items()},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_reads_what_training_scripts_save(wrap: Callable[[Any], Any], zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save(wrap(STATE), path, _use_new_zipfile_serialization=zipped)
    weights = read_weights(path)
    assert set(weights.tensors) == set(STATE)
    for name, tensor in STATE.items():
        assert torch.equal(weights.tensors[name], tensor)
        assert weights.tensors[name].dtype == tensor.dtype


def test_reads_plain_safetensors(tmp_path: Path) -> None:
    save_file({n: t.half() if t.is_floating_point() else t for n, t in STATE.items()}, tmp_path / "x.safetensors")
    weights = read_weights(tmp_path / "x.safetensors")
    assert (weights.metadata, weights.dtypes) == (None, ("float16", "int64"))
    assert torch.equal(weights.tensors["a.weight"], STATE["a.weight"])


def half_a_file(path: Path) -> None:
    torch.save({"w": torch.zeros(10_000)}, path)
    path.write_bytes(path.read_bytes()[:20_000])


BAD_FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a pickled module": (lambda p: torch.save(torch.nn.Linear(2, 2), p), r"Linear.*torch\.save\(model\.state_dict"),
    "an old pickled module": (
        lambda p: torch.save(torch.nn.Linear(2, 2), p, _use_new_zipfile_serialization=False),
        r"holds Python objects",
    ),
    "TorchScript": (lambda p: torch.jit.save(torch.jit.script(torch.nn.ReLU()), p), "TorchScript"),
    "an optimizer": (lambda p: torch.save({"optimizer": {}, "epoch": 3}, p), "optimizer's state"),
    "an optimizer's own state": (lambda p: torch.save({"state": {}, "param_groups": []}, p), "optimizer's state"),
    "a number": (lambda p: torch.save(3, p), "holds a int"),
    "no tensors": (lambda p: torch.save({"epoch": 3}, p), "no weights but epoch"),
    "half a file": (half_a_file, "part of the file"),
    "an empty file": (lambda p: p.write_bytes(b""), "empty"),
    "a web page": (lambda p: p.write_text("<!DOCTYPE html><html>"), "web page"),
    "a Git LFS pointer": (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1"), "Git LFS"),
    "noise": (lambda p: p.write_bytes(bytes(range(1, 200))), "not a checkpoint or is damaged"),
    "NaN": (lambda p: torch.save({"a.bias": torch.tensor([float("nan")])}, p), r"a\.bias holds NaN"),
    "infinity": (lambda p: torch.save({"a.bias": torch.tensor([float("inf")])}, p), r"a\.bias holds NaN or inf"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", BAD_FILES)
def test_refuses_in_one_line(kind: str, tmp_path: Path) -> None:
    write, message = BAD_FILES[kind]
    path = tmp_path / "x.pth"
    write(path)
    with pytest.raises(EdgekitError, match=message) as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_no_code_in_a_file_runs(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"model": Evil()}, tmp_path / "x.pth")
    with pytest.raises(EdgekitError, match="Python objects"):
        read_weights(tmp_path / "x.pth")
    assert not (tmp_path / "ran").exists()

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgekit.cli import main
from edgekit.deployment.tensorrt import target
from edgekit.errors import EdgekitError
from edgekit.report import doctor as module
from edgekit.report.doctor import Diagnosis, diagnose
from edgekit.report.doctor_tables import doctor_tables
from edgekit.runtime.flavours import TensorRT
from tests.machines import DESKTOP, MACHINES, ORIN_NANO, FakeMachine


def loader(machine: FakeMachine, rtx: bool = False) -> object:
    def load(flavour: str) -> TensorRT:
        if flavour == "tensorrt" and machine.tensorrt:
            return TensorRT("tensorrt", SimpleNamespace(), machine.tensorrt, None)
        if flavour == "rtx" and rtx:
            capabilities = SimpleNamespace(SM86=1, SM89=2)
            config = SimpleNamespace(set_compute_capability=None)
            return TensorRT(
                "rtx", SimpleNamespace(ComputeCapability=capabilities, IBuilderConfig=config), "1.7.1", None
            )
        raise EdgekitError(f"{flavour} is not installed", "pip install it")

    return load


def diagnosed(machine: FakeMachine, root: Path, monkeypatch: pytest.MonkeyPatch, rtx: bool = False) -> Diagnosis:
    monkeypatch.setattr(target, "load", loader(machine, rtx))
    monkeypatch.setattr(module, "load", loader(machine, rtx))
    return diagnose(machine.facts(root), {"tensorrt": machine.tensorrt or "not here"})


def route_of(found: Diagnosis) -> str:
    return next(a.how for a in found.abilities if a.task.startswith("build engines"))


@pytest.mark.parametrize(
    ("name", "route", "adapts"),
    [
        ("orin nano", "TensorRT 10.3.0 for this GPU, compute capability 8.7", False),
        ("agx orin", "TensorRT 10.3.0 for this GPU, compute capability 8.7", True),
        ("thor", "TensorRT 10.13.3.9 for this GPU, compute capability 11.0", False),
        ("desktop", "TensorRT 10.13.3.9 for this GPU, compute capability 8.6", True),
    ],
)
def test_machines(name: str, route: str, adapts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = diagnosed(MACHINES[name], tmp_path, monkeypatch)
    can = {a.task: a for a in found.abilities}
    assert found.healthy
    assert route_of(found) == route
    assert can["adapt a model"].can is adapts
    assert can["run engines"].can
    assert can["run ONNX"].how == "onnxruntime on CUDA"
    assert doctor_tables(found)


def test_routes_without_tensorrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = replace(DESKTOP, tensorrt=None)
    ahead = diagnosed(nothing, tmp_path / "a", monkeypatch, rtx=True)
    assert route_of(ahead) == "TensorRT-RTX 1.7.1 for this GPU, compute capability 8.6"
    none = diagnosed(nothing, tmp_path / "b", monkeypatch)
    assert route_of(none) == "tensorrt is not installed (pip install it)"
    assert not {a.task: a.can for a in none.abilities}["build engines (export --trt)"]
    jetson = diagnosed(replace(ORIN_NANO, tensorrt=None), tmp_path / "c", monkeypatch, rtx=True)
    assert route_of(jetson).startswith("TensorRT-RTX 1.7.1 ahead of time, with --compute-capability 8.6, 8.9")


def test_doctor_here_imports_no_torch_nor_what_it_does_not_need() -> None:
    code = """
import sys
for name in ("torch", "torchvision", "onnxscript", "cv2", "pycocotools"):
    sys.modules[name] = None  # any import raises
from edgekit.cli import main
sys.exit(main(["doctor", "--json"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["healthy"]
    assert {p["name"]: p["runs"] for p in found["providers"]}["CPUExecutionProvider"]
    assert found["packages"]["versions"]["torch"]
    assert {"system", "gpu", "tensorrt", "abilities", "findings"} <= set(found)


def test_exit_code_1_if_something_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = replace(ORIN_NANO, runs=("CPUExecutionProvider",))
    found = diagnosed(machine, tmp_path, monkeypatch)
    monkeypatch.setattr(module, "doctor", lambda: found)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "broken" in out
    assert "Orin Nano 8GB" in out
    assert main(["doctor", "--json"]) == 1
    assert not json.loads(capsys.readouterr().out)["healthy"]

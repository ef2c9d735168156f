from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.measurement.machine.pairs import Facts, findings
from edgekit.runtime.gpu import NoGpu
from tests.machines import AGX_ORIN, DESKTOP, MACHINES, ORIN_NANO, THOR, FakeMachine, dpkg


@pytest.mark.parametrize("name", sorted(MACHINES))
def test_a_machine_set_up_well_has_no_findings(name: str, tmp_path: Path) -> None:
    assert findings(MACHINES[name].facts(tmp_path)) == ()


def changed(facts: Facts, versions: Mapping[str, str | None] | None = None, **values: object) -> Facts:
    """The facts with other package versions (None: not installed) and other values of packages."""
    merged = {**facts.packages.versions, **(versions or {})}
    kept = {name: v for name, v in merged.items() if v is not None}
    return replace(facts, packages=replace(facts.packages, versions=kept, **values))


CASES = {
    "both onnxruntimes": (
        ORIN_NANO, lambda f: changed(f, {"onnxruntime": "1.23.0"}), "overwrite", "jp6/cu126", True),
    "onnxruntime of the CPU": (
        ORIN_NANO,
        lambda f: replace(
            changed(f, {"onnxruntime-gpu": None, "onnxruntime": "1.23.0"}),
            providers=[*(replace(p, packaged=False, runs=False) for p in f.providers[:2]), f.providers[2]]),
        "has no CUDA provider", "jp6/cu126", False),
    "CUDA provider falls back": (
        DESKTOP,
        lambda f: replace(
            f, providers=[f.providers[0], replace(f.providers[1], runs=False, reason="x"), f.providers[2]]),
        "CUDA provider does not run: x; it would fall back", "CUDA and cuDNN", True),
    "TensorRT provider does not load": (
        DESKTOP,
        lambda f: replace(f, providers=[replace(f.providers[0], runs=False, reason="x"), *f.providers[1:]]),
        "TensorRT provider does not run: x", "build an engine", False),
    "not even the CPU": (
        DESKTOP,
        lambda f: replace(f, providers=[*f.providers[:2], replace(f.providers[2], runs=False, reason="x")]),
        "not run even on the CPU", "--force-reinstall onnxruntime-gpu", True),
    "not even the CPU, of a Jetson": (
        ORIN_NANO,
        lambda f: replace(f, providers=[*f.providers[:2], replace(f.providers[2], runs=False, reason="x")]),
        "not run even on the CPU", "--force-reinstall onnxruntime-gpu --index-url https://pypi.jetson", True),
    "not even the CPU, of the CPU's onnxruntime": (
        DESKTOP,
        lambda f: replace(
            changed(f, {"onnxruntime-gpu": None, "onnxruntime": "1.23.0"}),
            providers=[*f.providers[:2], replace(f.providers[2], runs=False, reason="x")]),
        "not run even on the CPU", "--force-reinstall onnxruntime", True),
    "torch for a newer CUDA": (
        AGX_ORIN, lambda f: changed(f, torch_cuda="13.0"), "torch is built for CUDA 13.0", "jp6/cu126", True),
    "onnxruntime for a newer CUDA": (
        AGX_ORIN, lambda f: changed(f, onnxruntime_cuda="13.0"), "onnxruntime-gpu is built for CUDA", "jp6", True),
    "cuda-python for a newer CUDA": (
        AGX_ORIN, lambda f: changed(f, {"cuda-python": "13.0.1"}), "cuda-python is built for", "cuda-python<13", True),
    "torch and torchvision": (
        DESKTOP, lambda f: changed(f, {"torchvision": "0.21.0"}), "are not a pair", "torchvision==0.23.*", True),
    "torch of PyPI on a Jetson": (
        AGX_ORIN, lambda f: changed(f, torch_cuda=None), "built without CUDA", "jp6/cu126", False),
    "torch of the CPU": (
        DESKTOP, lambda f: changed(f, {"torch": "2.8.0+cpu"}, torch_cuda=None),
        "built without CUDA", "--force-reinstall torch", False),
    "another Python than JetPack 6's": (
        ORIN_NANO,
        lambda f: replace(f, packages=replace(f.packages, python="3.12.4"), tensorrt_module=None),
        "imports in Python 3.10 only", "python3.10 -m venv", True),
    "another Python than JetPack 7's": (
        THOR,
        lambda f: replace(f, packages=replace(f.packages, python="3.10.2"), tensorrt_module=None),
        "imports in Python 3.12 only", "python3.12 -m venv", True),
    "an isolated environment": (
        ORIN_NANO, lambda f: replace(f, tensorrt_module=None), "does not import", "--system-site-packages", False),
    "two TensorRTs": (
        THOR, lambda f: replace(f, tensorrt_module="10.15.1.29"), "system's TensorRT 10.13", "pip uninstall", False),
    "TensorRT provider for another TensorRT": (
        DESKTOP, lambda f: replace(f, tensorrt_module="11.1.0"), "needs TensorRT 10", "build an engine", False),
    "no cuda-python": (
        ORIN_NANO, lambda f: changed(f, {"cuda-python": None}), "cuda-python is not", "cuda-python<13", False),
    "two OpenCVs": (
        DESKTOP, lambda f: changed(f, {"opencv-python": "5.0", "opencv-python-headless": "5.0"}),
        "overwrite each other", "opencv-python-headless", False),
    "a broken driver": (
        DESKTOP, lambda f: replace(f, gpu=NoGpu("the driver is broken (cuInit: 999)", "run nvidia-smi")),
        "cuInit: 999", "run nvidia-smi", True),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_known_bad_pairs(name: str, tmp_path: Path) -> None:
    machine, change, problem, remedy, broken = CASES[name]
    found = findings(change(machine.facts(tmp_path)))
    assert [f for f in found if problem in f.problem], found
    (finding,) = [f for f in found if problem in f.problem]
    assert remedy in finding.remedy
    assert finding.broken is broken
    assert found[0].broken or not any(f.broken for f in found), "what is broken comes first"


def test_an_old_jetpack(tmp_path: Path) -> None:
    machine: FakeMachine = replace(
        ORIN_NANO, files={**ORIN_NANO.files, "etc/nv_tegra_release": "# R36 (release), REVISION: 3.0, GCID: 1\n"}
    )
    (finding,) = findings(machine.facts(tmp_path))
    assert "JetPack 6.0 has a TensorRT older" in finding.problem


@pytest.mark.parametrize(
    ("release", "revision", "package", "jetpack", "old"),
    [
        ("36", "9.9", None, "6.x", False),
        ("36", "9.9", "6.3+b1", "6.3", False),
        ("35", "9.9", None, "5.x", True),
        ("36", "3.0", "6.0+b106", "6.0", True),
    ],
)
def test_a_release_that_edgekit_does_not_know(
    release: str, revision: str, package: str | None, jetpack: str, old: bool, tmp_path: Path
) -> None:
    files = {**ORIN_NANO.files, "etc/nv_tegra_release": f"# R{release} (release), REVISION: {revision}, GCID: 1\n"}
    files["var/lib/dpkg/status"] = dpkg(**({"jetpack": package} if package else {}))
    facts = replace(ORIN_NANO, files=files).facts(tmp_path)
    assert facts.system.jetson is not None
    assert facts.system.jetson.jetpack == jetpack
    assert any("has a TensorRT older" in f.problem for f in findings(facts)) is old


def test_a_broken_driver_is_named_where_the_kernel_lists_no_gpu(tmp_path: Path) -> None:
    files = {k: v for k, v in DESKTOP.files.items() if "gpus" not in k}
    facts = replace(DESKTOP, files=files, runs=("CPUExecutionProvider",)).facts(tmp_path)
    gpu = NoGpu("the NVIDIA driver is broken (cuInit: error 999)", "run nvidia-smi", broken=True)
    (finding, *_) = findings(replace(facts, gpu=gpu))
    assert (finding.problem, finding.broken) == (gpu.reason, True)
    assert findings(replace(facts, gpu=NoGpu("no NVIDIA GPU or driver", "run this on the device"))) == ()


def test_a_container_tells_its_jetpack_by_cuda(tmp_path: Path) -> None:
    files = {k: v for k, v in ORIN_NANO.files.items() if k != "etc/nv_tegra_release"}
    facts = replace(ORIN_NANO, files=files).facts(tmp_path)
    assert facts.series == "6"
    assert findings(facts) == ()

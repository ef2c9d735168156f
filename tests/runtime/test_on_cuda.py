"""What only an NVIDIA GPU can show of onnxruntime's CUDA provider and of PyTorch on CUDA; elsewhere these skip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.adaptation.recipes import adapt
from edgekit.data.coco import Dataset
from edgekit.deployment.onnx_export import export
from edgekit.deployment.verify import verify
from edgekit.measurement.machine.providers import probe_providers
from edgekit.report.bench import bench
from edgekit.runtime.gpu import NoGpu, first_gpu
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.torch_session import TorchSession

CALIBRATION = Path(__file__).resolve().parents[2] / "calibration" / "demo.json"


@pytest.fixture(scope="session")  # before the graphs, so that a skip costs nothing
def gpu() -> None:
    """A GPU that PyTorch and onnxruntime can use."""
    found = first_gpu()
    if isinstance(found, NoGpu):
        pytest.skip(f"needs a GPU: {found.reason}")
    if not torch.cuda.is_available():
        pytest.skip("needs a PyTorch with CUDA")
    (provider,) = probe_providers(["CUDAExecutionProvider"])
    if not provider.runs:
        pytest.skip(f"needs onnxruntime's CUDA provider: {provider.reason}")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.usefixtures("gpu")
@pytest.mark.gpu
def test_a_graph_finds_on_cuda_what_it_finds_on_the_cpu(precision: str, tmp_path: Path) -> None:
    calibration = {"calibration": CALIBRATION} if precision == "int8" else {}
    graph = export("demo", tmp_path / "x.onnx", precision=precision, no_verify=True, **calibration).output
    session = OnnxSession(graph, "cuda")
    assert session.runtime == "onnxruntime cuda"
    seen = verify(OnnxSession(graph, "cpu"), session)
    assert seen.passed, seen.numbers


@pytest.mark.usefixtures("gpu")
@pytest.mark.gpu
def test_an_export_is_compared_on_the_gpu(tmp_path: Path) -> None:
    seen = export("demo", tmp_path / "x.onnx").verification
    assert seen is not None
    assert seen.tolerance.precision == "fp32"
    assert seen.parity.matched == seen.parity.compared > 10, seen.numbers


@pytest.mark.usefixtures("gpu")
@pytest.mark.gpu
def test_masks_of_what_was_found_are_made_on_the_gpu(tmp_path: Path) -> None:
    whole = export("demo", tmp_path / "whole.onnx", no_verify=True).output
    cut = export("demo", tmp_path / "cut.onnx", masks="found", no_verify=True).output
    seen = verify(OnnxSession(whole, "cuda"), OnnxSession(cut, "cuda"))
    assert seen.passed, seen.numbers
    assert seen.parity.mean_mask_iou is not None


@pytest.mark.usefixtures("gpu")
@pytest.mark.gpu
def test_pytorch_finds_on_cuda_what_the_graph_finds_on_the_cpu(base_onnx: Path) -> None:
    session = TorchSession.load("demo")
    assert session.runtime == "pytorch cuda"
    seen = verify(OnnxSession(base_onnx, "cpu"), session)
    assert seen.passed, seen.numbers


@pytest.mark.parametrize("trunk", ["onnx", "torch"])
@pytest.mark.usefixtures("gpu")
@pytest.mark.gpu
def test_old_detections_do_not_change_on_a_gpu(
    trunk: str, new_train: Dataset, mixed_test: Dataset, tmp_path: Path
) -> None:
    folder = mixed_test.file.parent
    result = adapt(
        "demo", new_train.file, new_train.file.parent, tmp_path / "x.safetensors", epochs=4, trunk=trunk, probe=folder
    )
    assert result.proof.runtime == "pytorch cuda"
    assert result.proof.retention.changed == 0 < result.proof.retention.compared


@pytest.mark.usefixtures("gpu")
@pytest.mark.gpu
def test_a_graphs_old_detections_do_not_change_on_a_gpu(
    base_onnx: Path, new_train: Dataset, mixed_test: Dataset, tmp_path: Path
) -> None:
    folder = mixed_test.file.parent
    result = adapt(base_onnx, new_train.file, new_train.file.parent, tmp_path / "x.onnx", epochs=4, probe=folder)
    assert result.proof.runtime == "onnxruntime cuda"
    assert result.proof.retention.changed == 0 < result.proof.retention.compared


@pytest.mark.usefixtures("gpu")
@pytest.mark.gpu
def test_bench_measures_the_gpu(base_onnx: Path) -> None:
    result = bench(["demo", base_onnx], runs=20, providers=("cpu", "cuda"))
    assert not result.failed
    assert [a.latency.runtime for a in result.artifacts] == ["pytorch cuda", "onnxruntime cpu", "onnxruntime cuda"]
    for artifact in result.artifacts:
        assert artifact.power is not None, artifact.not_measured
        assert artifact.power.conditions["gpu celsius"] > 0
        assert artifact.memory is not None
        assert artifact.memory.device_mb is not None
        assert (artifact.memory.device_mb > 100) == artifact.latency.runtime.endswith("cuda")


@pytest.mark.usefixtures("gpu")
@pytest.mark.gpu
def test_a_graph_finds_the_same_to_the_last_bit_again(base_onnx: Path) -> None:
    size = OnnxSession(base_onnx, "cuda").meta.input_size
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    first, second = (OnnxSession(base_onnx, "cuda").infer(pixels) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))

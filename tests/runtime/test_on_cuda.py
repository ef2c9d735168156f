"""What only an NVIDIA GPU can show of onnxruntime's CUDA provider and of PyTorch on CUDA; elsewhere these skip."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.adaptation.adapt import ExtraData, Learning, adapt
from edgekit.adaptation.proof import Proof
from edgekit.comparison.comparison_photos import comparison_photos
from edgekit.comparison.verification import verify
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.images import SAMPLE_PHOTOS, fit, list_images, read_image
from edgekit.demo.photo_sets import write_demo_set
from edgekit.deployment.export.export import export
from edgekit.deployment.precision.conversion import LEAST_PHOTOS, Conversion
from edgekit.measurement.bench.plan import BenchOptions
from edgekit.measurement.machine.providers import probe_providers
from edgekit.report.bench import bench
from edgekit.runtime.gpu import Gpu
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.parts_session import PartsSession
from edgekit.runtime.torch_session import TorchSession


def converting(precision: str, folder: Path) -> Conversion:
    """The conversion to a precision; for int8 photos are drawn."""
    if precision == "int8":
        write_demo_set("base-train", LEAST_PHOTOS, folder / "calibration", seed=7)
        return Conversion("int8", calibration=folder / "calibration")
    return Conversion(precision)


@pytest.fixture(scope="session")  # before the graphs, so that a skip costs nothing
def cuda(gpu: Gpu) -> None:
    """A GPU that PyTorch and onnxruntime can use."""
    if not torch.cuda.is_available():
        pytest.skip("needs a PyTorch with CUDA")
    (provider,) = probe_providers(["CUDAExecutionProvider"])
    if not provider.runs:
        pytest.skip(f"needs onnxruntime's CUDA provider: {provider.reason}")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.usefixtures("cuda")
@pytest.mark.gpu
def test_a_graph_finds_on_cuda_what_it_finds_on_the_cpu(precision: str, tmp_path: Path) -> None:
    graph = export("demo", tmp_path / "x.onnx", verify=False, conversion=converting(precision, tmp_path)).output
    session = OnnxSession(graph, "cuda")
    assert session.runtime == "onnxruntime cuda"
    seen = verify(OnnxSession(graph, "cpu"), session, comparison_photos())
    assert seen.passed, seen.numbers


@pytest.mark.usefixtures("cuda")
@pytest.mark.gpu
def test_an_export_is_compared_on_the_gpu(tmp_path: Path) -> None:
    seen = export("demo", tmp_path / "x.onnx").verification
    assert seen is not None
    assert seen.tolerance.precision == "fp32"
    assert seen.parity.matched == seen.parity.compared > 10, seen.numbers


@pytest.mark.usefixtures("cuda")
@pytest.mark.gpu
def test_a_model_in_parts_runs_on_the_gpu(tmp_path: Path) -> None:
    whole = export("demo", tmp_path / "whole.onnx", verify=False).output
    folder = export("demo", tmp_path / "model", verify=False).output
    seen = verify(OnnxSession(whole, "cuda"), PartsSession(folder, provider="cuda"), comparison_photos())
    assert seen.passed, seen.numbers
    assert seen.parity.mean_mask_iou is not None


@pytest.mark.usefixtures("cuda")
@pytest.mark.gpu
def test_pytorch_finds_on_cuda_what_the_graph_finds_on_the_cpu(base_onnx: Path) -> None:
    session = TorchSession.load("demo")
    assert session.runtime == "pytorch cuda"
    seen = verify(OnnxSession(base_onnx, "cpu"), session, comparison_photos())
    assert seen.passed, seen.numbers


def proof_of(base: str | Path, output: Path, learned: Dataset, probed: Dataset, trunk: str = "onnx") -> Proof:
    """What a short adaptation of a base says of its old detections."""
    probe = probed.file.parent
    learning = Learning(epochs=4, trunk=trunk)
    return adapt(base, learned.file, learned.file.parent, output, learning=learning, extra=ExtraData(probe=probe)).proof


@pytest.mark.parametrize("trunk", ["onnx", "torch"])
@pytest.mark.usefixtures("cuda")
@pytest.mark.gpu
def test_old_detections_do_not_change_on_a_gpu(
    trunk: str, new_train: Dataset, mixed_test: Dataset, tmp_path: Path
) -> None:
    proof = proof_of("demo", tmp_path / "x.safetensors", new_train, mixed_test, trunk)
    assert proof.runtime == "pytorch cuda"
    assert proof.retention.changed == 0 < proof.retention.compared


@pytest.mark.usefixtures("cuda")
@pytest.mark.gpu
def test_a_graphs_old_detections_do_not_change_on_a_gpu(
    base_onnx: Path, new_train: Dataset, mixed_test: Dataset, tmp_path: Path
) -> None:
    proof = proof_of(base_onnx, tmp_path / "x.onnx", new_train, mixed_test)
    assert proof.runtime == "onnxruntime cuda"
    assert proof.retention.changed == 0 < proof.retention.compared


@pytest.mark.usefixtures("cuda")
@pytest.mark.gpu
def test_bench_measures_the_gpu(base_onnx: Path) -> None:
    result = bench(["demo", base_onnx], BenchOptions(runs=20, providers=("cpu", "cuda")))
    assert not result.failed
    assert [a.latency.runtime for a in result.artifacts] == ["pytorch cuda", "onnxruntime cpu", "onnxruntime cuda"]
    for artifact in result.artifacts:
        assert artifact.power is not None, artifact.not_measured
        assert artifact.power.conditions["gpu celsius"] > 0
        assert artifact.memory is not None
        assert artifact.memory.device_mb is not None
        assert (artifact.memory.device_mb > 100) == artifact.latency.runtime.endswith("cuda")


@pytest.mark.usefixtures("cuda")
@pytest.mark.gpu
def test_a_graph_finds_the_same_to_the_last_bit_again(base_onnx: Path) -> None:
    size = OnnxSession(base_onnx, "cuda").meta.input_size
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    first, second = (OnnxSession(base_onnx, "cuda").infer(pixels) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.usefixtures("cuda")
@pytest.mark.gpu
def test_a_run_recorded_as_a_cuda_graph_finds_the_same(precision: str, tmp_path: Path) -> None:
    conversion = converting(precision, tmp_path)
    graph = export("demo", tmp_path / "x.onnx", verify=False, conversion=conversion).output
    recorded, plain = OnnxSession(graph, "cuda"), OnnxSession(graph, "cuda", trace=str(tmp_path / "trace"))
    assert recorded.recorded is not None
    assert plain.recorded is None
    for photo in list_images(SAMPLE_PHOTOS)[:4]:
        pixels = fit(read_image(photo), plain.meta.input_size).pixels
        assert all(np.array_equal(a, b) for a, b in zip(recorded.infer(pixels), plain.infer(pixels), strict=True))


@pytest.mark.usefixtures("cuda")
@pytest.mark.gpu
def test_a_recorded_run_is_the_same_on_another_thread(base_onnx: Path) -> None:
    session = OnnxSession(base_onnx, "cuda")
    pixels = fit(read_image(list_images(SAMPLE_PHOTOS)[0]), session.meta.input_size).pixels
    expected = session.infer(pixels)
    with ThreadPoolExecutor(1) as thread:
        seen = [thread.submit(session.infer, pixels).result() for _ in range(3)]
    assert all(np.array_equal(a, b) for outputs in seen for a, b in zip(outputs, expected, strict=True))

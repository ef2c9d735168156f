"""What only a device can show of engines. docs/jetson.md lists these tests as not measured; here they skip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekit.artifacts.onnx_files import read_onnx, write_onnx
from edgekit.comparison.comparison_photos import comparison_photos
from edgekit.comparison.verification import verify
from edgekit.deployment.precision.half import to_fp16
from edgekit.deployment.tensorrt.build import build
from edgekit.deployment.tensorrt.build_options import EngineOptions
from edgekit.runtime.engine_session import CAPTURED, OWN, EngineSession
from edgekit.runtime.gpu import Gpu
from edgekit.runtime.onnx_session import OnnxSession
from tests.tiny_detector import SIZE, write_tiny_detector


@pytest.fixture(scope="session")  # before the graphs, so that a skip costs nothing
def tensorrt(flavour: str) -> None:
    """TensorRT itself, which has what TensorRT-RTX has not."""
    if flavour != "tensorrt":
        pytest.skip("needs TensorRT, not TensorRT-RTX")


def assert_agree(graph: Path, engine: Path) -> None:
    """An engine finds on edgekit's photos what its graph finds in onnxruntime on the CPU."""
    with EngineSession.open(engine) as session:
        assert session.graph in (CAPTURED, OWN)
        seen = verify(OnnxSession(graph, "cpu"), session, comparison_photos())
    assert seen.passed, seen.numbers


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.usefixtures("flavour")
@pytest.mark.gpu
def test_an_engine_finds_what_its_graph_finds(precision: str, adapted_onnx: Path, tmp_path: Path) -> None:
    graph, meta = read_onnx(adapted_onnx)
    file = tmp_path / "x.onnx"
    graph = graph if precision == "fp32" else to_fp16(graph, ())
    write_onnx(file, graph, replace(meta, precision=precision))
    assert_agree(file, build(file, tmp_path / "x.engine").path)


@pytest.mark.parametrize("option", ["version_compatible", "hardware_compatible"])
@pytest.mark.usefixtures("tensorrt")
@pytest.mark.gpu
def test_a_compatible_engine_runs_where_it_was_built(option: str, gpu: Gpu, tmp_path: Path) -> None:
    if option == "hardware_compatible" and float(gpu.compute_capability) < 8.0:
        pytest.skip("needs Ampere or newer")
    graph = write_tiny_detector(tmp_path / "tiny.onnx")
    engine = build(graph, tmp_path / "tiny.engine", EngineOptions(**{option: True}))  # type: ignore[arg-type]
    assert engine.settings[option]
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    expected = OnnxSession(graph, "cpu").infer(pixels)
    with EngineSession.open(engine.path) as session:
        found = session.infer(pixels)
    assert np.abs(found.scores - expected.scores).max() < 1e-2
    assert np.array_equal(found.labels, expected.labels)


@pytest.mark.usefixtures("tensorrt")
@pytest.mark.gpu
def test_a_second_build_reuses_the_timings(adapted_onnx: Path, tmp_path: Path) -> None:
    timings = tmp_path / "timings"
    first = build(adapted_onnx, tmp_path / "first.engine", EngineOptions(timing_cache=timings))
    assert [file.suffix for file in timings.iterdir()] == [".timing"]
    second = build(adapted_onnx, tmp_path / "second.engine", EngineOptions(timing_cache=timings))
    assert len(list(timings.iterdir())) == 1
    assert second.seconds < first.seconds

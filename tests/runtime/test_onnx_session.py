from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.runtime import onnx_session
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.recorded import Recorded
from tests.tiny_detector import SIZE, SLOTS, write_tiny_detector


@pytest.mark.parametrize(("provider", "loads"), [("", 1), ("cpu", 0)])
def test_cudas_libraries_are_loaded_from_wheels_where_cuda_is_wanted(
    provider: str, loads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ort = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        pytest.skip("this onnxruntime has no CUDA provider")
    device, loaded = tmp_path / "nvidia0", []
    device.touch()
    monkeypatch.setattr("edgekit.runtime.gpu.DEVICE_FILES", (str(device),))
    monkeypatch.setattr(ort, "preload_dlls", lambda: (loaded.append(1), print("libcudnn is missing")), raising=False)
    onnx_session.open_ort(str(write_tiny_detector(tmp_path / "tiny.onnx")), provider)
    assert len(loaded) == loads
    assert capsys.readouterr().out == "", "stdout belongs to --json"


def test_what_onnxruntime_prints_stays_out_of_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession

    def talkative(*arguments: object, **options: object) -> object:
        print("EP Error: no CUDA")
        return session(*arguments, **options)

    monkeypatch.setattr(ort, "InferenceSession", talkative)
    onnx_session.open_ort(str(write_tiny_detector(tmp_path / "tiny.onnx")))
    said = capsys.readouterr()
    assert (said.out, "EP Error" in said.err) == ("", True)


def test_settings_of_cuda() -> None:
    no_tf32_and_no_timed_choice = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    assert onnx_session._settings("CUDAExecutionProvider", "fp32") == no_tf32_and_no_timed_choice
    assert onnx_session._settings("CPUExecutionProvider", "fp32") == {}


def on_cuda(monkeypatch: pytest.MonkeyPatch, fails: bool = False) -> list[bool]:
    """Let sessions seem to be on CUDA; returns whether each was opened for recording."""
    opened: list[bool] = []
    real = onnx_session.open_ort

    def open_ort(model: str, record: bool = False, **options: object) -> object:
        opened.append(record)
        if record and fails:
            raise RuntimeError("CUDA Concat supports at most 32 inputs during CUDA Graph capture")
        return real(model)

    monkeypatch.setattr(onnx_session, "open_ort", open_ort)
    monkeypatch.setattr(onnx_session, "_provider", lambda session: "cuda")
    monkeypatch.setattr(onnx_session, "Recorded", lambda session, device: Recorded(session, "cpu"))
    return opened


def test_a_session_on_cuda_is_recorded_and_finds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = write_tiny_detector(tmp_path / "tiny.onnx", batch=2)
    canvases = np.random.default_rng(0).integers(0, 256, (2, 2, *SIZE, 3), np.uint8)
    plain = OnnxSession(graph, "cpu")
    assert plain.recorded is None
    opened = on_cuda(monkeypatch)
    session = OnnxSession(graph)
    assert (opened, session.recorded is None) == ([True], False)
    scores = set()
    for images in canvases:
        for outputs, expected in zip(session.infer_batch(images), plain.infer_batch(images), strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(outputs, expected, strict=True))
            scores.add(float(outputs.scores[0]))
    assert len(scores) == 4, "every canvas has its own"


def test_what_cannot_be_recorded_runs_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = on_cuda(monkeypatch, fails=True)
    session = OnnxSession(write_tiny_detector(tmp_path / "tiny.onnx"))
    assert (opened, session.recorded) == ([True, False], None)
    assert len(session.infer(np.zeros((*SIZE, 3), np.uint8)).scores) == SLOTS


def test_a_trace_shows_every_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = on_cuda(monkeypatch)
    assert OnnxSession(write_tiny_detector(tmp_path / "tiny.onnx"), trace=str(tmp_path / "trace")).recorded is None
    assert opened == [False]

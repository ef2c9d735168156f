from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.runtime import onnx_session
from tests.tiny_detector import write_tiny_detector


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


def test_float32_is_not_tf32_on_cuda() -> None:
    assert onnx_session._settings("CUDAExecutionProvider", "fp32") == {"use_tf32": "0"}
    assert onnx_session._settings("CPUExecutionProvider", "fp32") == {}

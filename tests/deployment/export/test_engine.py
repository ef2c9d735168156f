"""An engine is compared before it is written, where it runs; the session that runs it is stood in for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.deployment.export.export import export
from edgekit.deployment.tensorrt.build_options import EngineOptions
from edgekit.errors import EdgekitError
from edgekit.runtime.engine_file import read_engine
from edgekit.runtime.engine_session import EngineSession
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.session import Outputs
from tests.deployment.tensorrt.versions import A10
from tests.tiny_detector import write_tiny_detector

AHEAD: dict[str, Any] = {"engine": EngineOptions("fp32", compute_capability=("8.6",))}


class StandIn:
    """What an engine would find, if it found what its graph does with other scores."""

    def __init__(self, engine: Path, off: float) -> None:
        described, _ = read_engine(engine)  # only what its description vouches for is run
        self.session, self.off = OnnxSession(engine.with_suffix(".onnx")), np.float32(off)
        self.runtime, self.meta = "TensorRT", described.meta

    def infer(self, pixels: np.ndarray) -> Outputs:
        found = self.session.infer(pixels)
        return found._replace(scores=np.maximum(found.scores - self.off, 0))

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    pytest.importorskip("tensorrt_rtx", reason="needs edgekit[rtx]")
    (tmp_path / "out").mkdir()
    return write_tiny_detector(tmp_path / "tiny.onnx")


def on_a_gpu(monkeypatch: pytest.MonkeyPatch, off: float) -> list[Path]:
    """Have this machine a GPU of compute capability 8.6; returns which engines were run."""
    ran: list[Path] = []

    def opened(path: Path) -> StandIn:
        ran.append(path)
        return StandIn(path, off)

    monkeypatch.setattr("edgekit.deployment.tensorrt.target.first_gpu", lambda: A10)
    monkeypatch.setattr(EngineSession, "open", opened)
    return ran


def test_an_engine_for_this_gpu_is_compared(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = on_a_gpu(monkeypatch, 0.0)
    result = export(tiny, tmp_path / "out" / "x.engine", **AHEAD)
    assert len(ran) == 1
    assert result.engine_verification is not None
    assert result.engine_verification.parity.matched == result.engine_verification.parity.compared > 10
    assert (tmp_path / "out" / "x.engine").is_file()


def test_an_engine_that_differs_is_not_written(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_gpu(monkeypatch, 0.1)
    (tmp_path / "out" / "x.onnx").write_text("earlier")
    with pytest.raises(EdgekitError, match=r"out/x.engine: its detections differ .* 0 of 24"):
        export(tiny, tmp_path / "out" / "x.engine", force=True, **AHEAD)
    assert [p.read_text() for p in (tmp_path / "out").iterdir()] == ["earlier"]
    assert export(tiny, tmp_path / "out" / "x.engine", verify=False, force=True, **AHEAD).engine_verification is None


def test_an_engine_for_another_gpu_is_not_run_and_that_is_said(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = on_a_gpu(monkeypatch, 0.1)
    result = export(tiny, tmp_path / "out" / "x.engine", engine=EngineOptions("fp32", compute_capability=("8.9",)))
    assert not ran
    assert result.engine_verification is None
    assert any("the engine was not run" in note for note in result.notes)


@pytest.mark.usefixtures("flavour")
@pytest.mark.gpu
def test_a_device_compares_its_own_engine(tiny: Path, tmp_path: Path) -> None:
    result = export(tiny, tmp_path / "out" / "x.engine", engine=EngineOptions("fp32"))
    assert result.engine_verification is not None
    assert result.engine_verification.parity.compared > 10

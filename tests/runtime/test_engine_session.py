"""Sessions of an engine up to the device, which stand-ins replace; on a GPU see tests/deployment/tensorrt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import EdgekitError
from edgekit.measurement.bench.forms import Form
from edgekit.measurement.bench.streams import run_streams
from edgekit.runtime.engine_session import CAPTURED, EngineSession
from tests.devices import Runtime, Status, install, write_stand_in
from tests.tiny_detector import SIZE


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    return write_stand_in(tmp_path / "tiny.engine")


def canvas(value: int) -> np.ndarray:
    return np.full((*SIZE, 3), value, np.uint8)


def test_a_call_launches_the_recorded_graph_and_allocates_nothing(
    engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = install(monkeypatch.setattr)
    with EngineSession.open(engine) as session:
        assert (session.graph, session.runtime) == (CAPTURED, "TensorRT 10.3.0, CUDA graph")
        cuda.calls.clear()
        bright, dark = session.infer(canvas(255)), session.infer(canvas(0))
    assert cuda.calls[:4] == ["cudaGraphLaunch", "cudaStreamSynchronize"] * 2
    assert bright.scores.tolist() == [1, 0, 0], "what came first was copied out of the pinned memory"
    assert dark.scores.tolist() == [0, 0, 0]
    assert bright.boxes[0].tolist() == [0, 0, SIZE[1], SIZE[0]]
    assert bright.masks.shape == (3, 28, 28)


@pytest.mark.parametrize("call", ["cudaStreamEndCapture", "cudaGraphInstantiate"])
def test_an_engine_that_cannot_be_captured_is_started_call_by_call(
    call: str, engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = install(monkeypatch.setattr, Runtime(fails=call))
    with EngineSession.open(engine) as session:
        assert session.graph == f"not captured: {call}: cudaErrorStreamCaptureUnsupported"
        assert session.runtime == "TensorRT 10.3.0"
        assert session.infer(canvas(255)).scores[0] == 1
    assert "cudaGraphLaunch" not in cuda.calls
    assert cuda.held == {}


def test_closing_gives_everything_back_once(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = install(monkeypatch.setattr)
    session = EngineSession.open(engine)
    assert len(cuda.held) == 2, "pinned memory and the device's"
    cuda.calls.clear()
    session.close()
    assert cuda.calls == [
        "cudaStreamSynchronize",
        "cudaGraphExecDestroy",
        "cudaFree",
        "cudaFreeHost",
        "cudaStreamDestroy",
    ]
    assert cuda.held == {}
    session.close()
    assert len(cuda.calls) == 5
    with pytest.raises(RuntimeError, match=r"tiny\.engine: the session is closed"):
        session.infer(canvas(0))


def test_a_session_that_cannot_be_opened_leaves_nothing_taken(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = install(monkeypatch.setattr, Runtime("cudaMalloc", Status.cudaErrorMemoryAllocation))
    with pytest.raises(EdgekitError, match="the GPU's memory is full"):
        EngineSession.open(engine)
    assert cuda.held == {}
    assert cuda.calls[-2:] == ["cudaFreeHost", "cudaStreamDestroy"]


def test_a_canvas_of_another_size_is_refused(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch.setattr)
    with EngineSession.open(engine) as session, pytest.raises(EdgekitError, match=r"takes uint8 \[8, 12, 3\]"):
        session.infer(np.zeros((4, 4, 3), np.uint8))


def test_streams_are_twins_that_are_closed_and_the_session_stays(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = install(monkeypatch.setattr)
    with EngineSession.open(engine) as session:
        found = run_streams(Form(str(engine), "a"), session, [(np.zeros((20, 30, 3), np.uint8),)], 3, 0.1)
        assert (found.count, found.threads_each) == (3, None)
        assert found.images_per_s > 0
        assert len(cuda.held) == 2, "the twins' memory was given back"
        assert session.infer(canvas(255)).scores[0] == 1
    assert cuda.held == {}

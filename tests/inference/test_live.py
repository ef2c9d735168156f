from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from edgekit.cli import main
from edgekit.data.frames import Frame
from edgekit.data.video import open_video
from edgekit.errors import EdgekitError
from edgekit.inference import predict as module
from edgekit.inference.live import Stream, watch
from edgekit.inference.predict import predict
from edgekit.report.tables import stream_table
from tests.videos import FakeCamera, RedSquare, write_video

pytest.importorskip("cv2", reason="needs pip install 'edgekit[video]'")
VERIFY = Path(__file__).parents[2] / "edgekit" / "assets" / "verify"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> RedSquare:
    session = RedSquare()
    monkeypatch.setattr(module, "open_session", lambda *_: session)
    return session


def frames_in(path: Path) -> int:
    video, count = open_video(path), 0
    while video.read() is not None:
        count += 1
    return count


def test_a_video_is_drawn_and_written_down(model: RedSquare, tmp_path: Path) -> None:
    video = write_video(tmp_path / "in.mp4")
    output, lines = tmp_path / "out.mp4", tmp_path / "found.jsonl"
    result = predict("m", [video], output, jsonl=lines)
    assert isinstance(result, Stream)
    assert (result.frames, result.objects, result.ended, result.problem) == (40, 40, "at its end", None)
    assert frames_in(output) == 40
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [r["frame"] for r in rows] == list(range(40))
    assert rows[20]["seconds"] == 1.0
    (found,) = rows[10]["detections"]
    assert found["category"] == "square"
    assert found["bbox"][0] == pytest.approx(24, abs=2)
    drawn, plain = open_video(output).read(), open_video(video).read()
    assert drawn is not None
    assert plain is not None
    assert (drawn.pixels.astype(int) - plain.pixels).any()
    assert {p.name for p in tmp_path.iterdir()} == {"in.mp4", "out.mp4", "found.jsonl"}
    json.dumps([result.frames_per_second, result.decode_ms, result.inference_ms, result.drawing_ms])


def test_frames_that_change_size_stay_in_the_video_and_are_counted(tmp_path: Path) -> None:
    video = open_video(write_video(tmp_path / "in.avi"))
    read = video.read

    def turned() -> Frame | None:
        frame = read()
        if frame is None or frame.number < 30:
            return frame
        return frame._replace(pixels=np.ascontiguousarray(np.rot90(frame.pixels)))

    video.read = turned  # type: ignore[method-assign]
    result = watch(RedSquare(), video, tmp_path / "out.avi")
    assert (result.frames, result.refitted) == (40, 10)
    assert frames_in(tmp_path / "out.avi") == 40
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(stream_table(result))
    assert "10 frames were scaled" in console.export_text()


def test_stages_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first frame is drawn until the third has been looked at and the fourth decoded."""
    looked_at, decoded, waited = threading.Event(), threading.Event(), []
    video, session = open_video(write_video(tmp_path / "in.avi")), RedSquare()
    read, infer = video.read, session.infer
    numbers = iter(range(40))

    def decode() -> Frame | None:
        frame = read()
        if frame is not None and frame.number == 3:
            decoded.set()
        return frame

    def look(pixels: np.ndarray) -> Any:
        if next(numbers) == 2:
            looked_at.set()
        return infer(pixels)

    def draw(pixels: Any, *_: object) -> Any:
        waited.append(looked_at.wait(60) and decoded.wait(60))
        return pixels

    monkeypatch.setattr(video, "read", decode)
    monkeypatch.setattr(session, "infer", look)
    monkeypatch.setattr("edgekit.inference.live_stages.draw", draw)
    result = watch(session, video, tmp_path / "out.avi")
    assert waited == [True] * 40
    assert min(result.decode_ms, result.inference_ms, result.drawing_ms) > 0


def test_a_camera_that_goes_away_leaves_finished_files(tmp_path: Path) -> None:
    camera = FakeCamera(60)
    result = watch(RedSquare(0.03), camera, tmp_path / "out.avi", tmp_path / "found.jsonl")
    assert result.problem is not None
    assert "went away after 60 frames" in result.problem
    assert result.dropped > 10, "the model is slower than the camera: old frames are dropped"
    assert result.frames + result.dropped == 60
    assert camera.closed
    assert frames_in(tmp_path / "out.avi") == pytest.approx(60, abs=25), "plays in the camera's time"
    numbers = [json.loads(line)["frame"] for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    assert len(numbers) == result.frames
    assert numbers == sorted(set(numbers))


def test_a_camera_that_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = FakeCamera(5)
    release = threading.Event()
    read = camera.read
    monkeypatch.setattr(camera, "read", lambda: read() if camera.count < 5 else release.wait(60) and None)
    monkeypatch.setattr(camera, "stop", release.set)
    monkeypatch.setattr("edgekit.inference.live_stages.SILENCE", 0.5)
    result = watch(RedSquare(), camera)
    assert result.problem is not None
    assert result.frames >= 1
    assert camera.closed


def test_a_limit_ends_a_camera(model: RedSquare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_camera", lambda _: FakeCamera(10**6))
    result = predict("m", camera="0", frames=7)
    assert isinstance(result, Stream)
    assert (result.frames, result.ended, result.problem) == (7, "at --frames", None)


def interrupt_at(number: int) -> Any:
    """A track that raises what Ctrl-C raises when the loop asks for item ``number``."""

    def track(items: Iterable[Any], _description: str) -> Iterator[Any]:
        for count, item in enumerate(items):
            if count == number:
                raise KeyboardInterrupt
            yield item

    return track


def test_ctrl_c_leaves_finished_files(tmp_path: Path) -> None:
    video = open_video(write_video(tmp_path / "in.mp4", 200))
    result = watch(RedSquare(), video, tmp_path / "out.mp4", tmp_path / "found.jsonl", track=interrupt_at(25))
    assert (result.frames, result.ended, result.problem) == (25, "by Ctrl-C", None)
    assert frames_in(tmp_path / "out.mp4") == 25
    assert len((tmp_path / "found.jsonl").read_text().splitlines()) == 25
    assert threading.active_count() == 1 or not [t for t in threading.enumerate() if t.name.startswith("edgekit")]


def test_ctrl_c_before_the_first_frame_leaves_nothing(tmp_path: Path) -> None:
    video = open_video(write_video(tmp_path / "in.mp4"))
    with pytest.raises(KeyboardInterrupt):
        watch(RedSquare(), video, tmp_path / "out.mp4", track=interrupt_at(0))
    assert {p.name for p in tmp_path.iterdir()} == {"in.mp4"}
    assert not [t for t in threading.enumerate() if t.name.startswith("edgekit")]


def test_an_error_in_a_stage_ends_all_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("cannot draw")

    monkeypatch.setattr("edgekit.inference.live_stages.draw", fail)
    video = open_video(write_video(tmp_path / "in.mp4", 100))
    with pytest.raises(ValueError, match="cannot draw"):
        watch(RedSquare(), video, tmp_path / "out.mp4")
    assert {p.name for p in tmp_path.iterdir()} == {"in.mp4"}
    assert not [t for t in threading.enumerate() if t.name.startswith("edgekit")]


def test_photos_as_json_lines(model: RedSquare, tmp_path: Path) -> None:
    predict("m", [VERIFY / "0.jpg", VERIFY / "1.jpg"], jsonl=tmp_path / "found.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    assert [Path(r["image"]).name for r in rows] == ["0.jpg", "1.jpg"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no input"),
        (["a.mp4", "b.jpg"], "a.mp4 and b.jpg: a video and photos"),
        (["a.mp4", "b.mp4"], "several videos"),
        (["b.jpg", "--camera", "0"], "both are inputs"),
        (["a.mp4", "-o", "folder"], "not a name for a video"),
        (["b.jpg", "-o", "x.mp4"], "photos are drawn into a folder"),
        (["b.jpg", "--frames", "3"], "photos are not frames"),
        (["a.mp4", "--frames", "0"], "not a number of frames"),
        (["gone.mp4"], "no such video"),
        (["--camera", "97"], "cannot be opened"),
    ],
)
def test_what_does_not_go_together(
    arguments: list[str], said: str, model: RedSquare, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "m", *arguments]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert "(" in error, "the hint is missing"


def test_a_folder_without_images(model: RedSquare, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="holds no images"):
        predict("m", [tmp_path])


def test_exit_code_1_for_a_truncated_video(
    model: RedSquare, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_video(tmp_path / "in.avi", 60)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert main(["predict", "m", str(path), "-o", str(tmp_path / "out.avi"), "--json"]) == 1
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert 0 < result["frames"] < 60
    assert "truncated" in result["problem"]
    assert "truncated" in captured.err
    assert frames_in(tmp_path / "out.avi") == result["frames"]


def test_the_command_line_with_a_real_model_and_ctrl_c(adapted_onnx: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "in.mp4", 2000)
    command = [sys.executable, "-m", "edgekit", "predict", str(adapted_onnx), str(video)]
    command += ["-o", str(tmp_path / "out.mp4"), "--jsonl", str(tmp_path / "found.jsonl"), "--json"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in what a shell runs behind
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:  # until some frames are through
        partial = list(tmp_path.glob(".found*"))
        if partial and partial[0].stat().st_size > 100:
            break
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    result = json.loads(out)
    assert result["ended"] == "by Ctrl-C"
    assert 0 < result["frames"] < 2000
    assert frames_in(tmp_path / "out.mp4") == result["frames"]
    assert len((tmp_path / "found.jsonl").read_text().splitlines()) == result["frames"]

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit.data import csi
from edgekit.data.video import check_output, open_camera, open_video
from edgekit.errors import EdgekitError
from tests.videos import SIZE, picture, write_video

pytest.importorskip("cv2", reason="needs pip install 'edgekit[video]'")


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_frames_come_back_in_order_and_colour(suffix: str, tmp_path: Path) -> None:
    video = open_video(write_video(tmp_path / f"a{suffix}", 30))
    assert (video.expected, video.rate, video.live) == (30, 20.0, False)
    read = []
    while (frame := video.read()) is not None:
        read.append(frame)
    assert [f.number for f in read] == list(range(30))
    assert read[10].seconds == pytest.approx(0.5)
    for frame in read[::7]:
        assert frame.pixels.shape == (*SIZE, 3)
        assert np.abs(frame.pixels.astype(int) - picture(frame.number)).mean() < 6
    assert video.problem() is None
    video.close()


def test_a_live_video_repeats_frames_to_keep_time(tmp_path: Path) -> None:
    from edgekit.data.video import VideoFile

    path = tmp_path / "a.avi"
    video = VideoFile(path, SIZE, 20.0, path)
    for seconds in (0.0, 0.5, 1.0):
        video.write(picture(0), seconds)
    video.close()
    assert open_video(path).expected == 20


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_a_truncated_video_says_so_at_its_end(suffix: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / f"a{suffix}", 60)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    video, count = open_video(path), 0
    while video.read() is not None:
        count += 1
    assert 0 < count < 50
    problem = video.problem()
    assert problem is not None
    assert f"ended after {count} of 60 frames: it is truncated" in problem.message
    video.close()


def test_videos_that_cannot_be_opened(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EdgekitError, match="no such video"):
        open_video(tmp_path / "gone.mp4")
    whole = write_video(tmp_path / "whole.mp4").read_bytes()
    for name, content in {"cut.mp4": whole[: len(whole) // 2], "text.mp4": b"not a video", "empty.mp4": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(EdgekitError, match="cannot be opened as a video") as error:
            open_video(tmp_path / name)
        assert "ffmpeg" in error.value.hint


def test_cameras_that_are_not_there() -> None:
    with pytest.raises(EdgekitError, match="camera 97: cannot be opened") as error:
        open_camera("97")
    assert "/dev/video*" in error.value.hint
    with pytest.raises(EdgekitError, match="not a camera"):
        open_camera("front door")
    with pytest.raises(EdgekitError, match="not a CSI camera"):
        open_camera("csi:left")


def test_without_opencv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", 2)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(EdgekitError, match="need OpenCV") as error:
        open_video(path)
    assert "edgekit[video]" in error.value.hint


def test_names_of_videos() -> None:
    check_output(Path("out.mp4"))
    with pytest.raises(EdgekitError, match="not a name for a video"):
        check_output(Path("folder"))


GSTREAMER = """#!{python}
# Stands in for gst-launch-1.0: writes three frames into the descriptor it was given, then fails as Argus does.
import os, sys
assert sys.argv[1:4] == ["-q", "nvarguscamerasrc", "sensor-id=1"], sys.argv
descriptor = int(sys.argv[-1].removeprefix("fd="))
print("GST_ARGUS: Creating output stream")
with os.fdopen(descriptor, "wb") as pipe:
    for number in range(3):
        pipe.write(bytes([number, 100, 200, 255]) * (720 * 1280))
print("ERROR: from element nvarguscamerasrc0: TIMEOUT", file=sys.stderr)
"""


def test_a_csi_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / csi.PROGRAM
    program.write_text(GSTREAMER.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    camera = open_camera("csi:1")
    for number in range(3):
        frame = camera.read()
        assert frame is not None
        assert frame.number == number
        assert frame.pixels.shape == (720, 1280, 3)
        assert frame.pixels[300, 700].tolist() == [number, 100, 200]
    assert camera.read() is None
    camera.process.wait()
    problem = camera.problem()
    assert problem is not None
    assert "went away after 3 frames: ERROR: from element nvarguscamerasrc0: TIMEOUT" in problem.message
    camera.stop()
    camera.close()


def test_a_csi_camera_without_gstreamer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EdgekitError, match="not installed") as error:
        open_camera("csi:0")
    assert "gstreamer1.0-tools" in error.value.hint

"""Frames out of video files and cameras, and frames into a video file, through OpenCV."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.data.frames import Frame, Frames
from edgekit.errors import EdgekitError
from edgekit.files.reading import refuse_special

CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}  # encoders that OpenCV's wheels have
SUFFIXES = (*CODECS, ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".ts")
SILENT = "-8"  # FFmpeg's log level for nothing at all


class Capture:
    """A video file, camera or stream address in OpenCV."""

    def __init__(self, cv2: Any, source: str | int, name: str, live: bool, clock: Callable[[], float]) -> None:
        self.cv2, self.name, self.live, self.clock = cv2, name, live, clock
        self.capture = cv2.VideoCapture(source)
        self.count, self.began = 0, clock()
        rate, frames = (self.capture.get(p) for p in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
        self.rate = float(rate) if 1 <= rate <= 1000 else 30.0
        self.expected = int(frames) if not live and frames > 0 else None

    def read(self) -> Frame | None:
        """The next frame."""
        got, pixels = self.capture.read()
        if not got:
            return None
        number, self.count = self.count, self.count + 1
        seconds = self.clock() - self.began if self.live else number / self.rate
        return Frame(self.cv2.cvtColor(pixels, self.cv2.COLOR_BGR2RGB), number, seconds)

    def problem(self) -> EdgekitError | None:
        """A camera does not end by itself; a file has as many frames as it says, give or take a hundredth."""
        if self.live:
            return EdgekitError(f"{self.name}: went away after {self.count} frames", "check its cable and power")
        if self.expected is not None and self.count < self.expected - max(2, self.expected // 100):
            message = f"{self.name}: ended after {self.count} of {self.expected} frames: it is truncated or damaged"
            return EdgekitError(message, "copy it again")
        return None

    def stop(self) -> None:
        """OpenCV's reads end by themselves, in 10 s at most."""

    def close(self) -> None:
        """Give the file or camera back."""
        self.capture.release()


def open_video(path: Path) -> Frames:
    """A video file; raises EdgekitError if there is none or nothing in it can be decoded."""
    if not path.exists():
        raise EdgekitError(f"{path}: no such video", "check the path")
    refuse_special(path)
    capture = Capture(_opencv(), str(path), str(path), False, time.monotonic)
    if not capture.capture.isOpened():
        capture.close()
        raise EdgekitError(
            f"{path}: cannot be opened as a video: it is damaged, truncated, or of a codec OpenCV does not have",
            "copy it again, or convert it: ffmpeg -i IN -c:v libx264 OUT.mp4",
        )
    return capture


def open_camera(camera: str) -> Frames:
    """A camera: its number ("0"), its device file, a stream's address, or "csi:0", a Jetson's CSI camera."""
    if camera.startswith("csi:"):
        from edgekit.data.csi import open_csi

        return open_csi(camera)
    if not (camera.isdigit() or camera.startswith("/dev/") or "://" in camera):
        raise EdgekitError(f"--camera {camera}: not a camera", "give 0, /dev/video0, csi:0 or rtsp://...")
    capture = Capture(_opencv(), int(camera) if camera.isdigit() else camera, f"camera {camera}", True, time.monotonic)
    if not capture.capture.isOpened():
        capture.close()
        remedy = "look at ls /dev/video*; close other programs that use it; sudo usermod -aG video $USER, log in again"
        raise EdgekitError(f"camera {camera}: cannot be opened", remedy)
    return capture


class VideoFile:
    """A video file being written; ``close`` makes it whole."""

    def __init__(self, path: Path, size: tuple[int, int], rate: float, name: Path) -> None:
        cv2 = _opencv()
        self.cv2, self.rate, self.written = cv2, rate, 0
        codec = cv2.VideoWriter_fourcc(*CODECS[name.suffix.lower()])
        self.writer = cv2.VideoWriter(str(path), codec, rate, (size[1], size[0]))
        if not self.writer.isOpened():
            raise EdgekitError(f"{name}: this OpenCV cannot write such a video", "give a name that ends in .avi")

    def write(self, pixels: np.ndarray, until: float | None = None) -> None:
        """Add a frame, RGB uint8; ``until`` repeats it so that the video has that many seconds, as a live one."""
        frame = self.cv2.cvtColor(pixels, self.cv2.COLOR_RGB2BGR)
        times = 1 if until is None else max(1, round(until * self.rate) - self.written)
        for _ in range(times):
            self.writer.write(frame)
        self.written += times

    def close(self) -> None:
        """Finish the file."""
        self.writer.release()


def is_video(path: Path) -> bool:
    """Whether a file's name is a video's."""
    return path.suffix.lower() in SUFFIXES


def check_output(path: Path) -> None:
    """Raise EdgekitError if no video can be written under this name."""
    if path.suffix.lower() not in CODECS:
        raise EdgekitError(f"{path}: not a name for a video", f"end it in one of: {', '.join(CODECS)}")


def _opencv() -> Any:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", SILENT)  # what goes wrong is said by edgekit, once
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    try:
        import cv2
    except ImportError as error:
        remedy = "pip install 'edgekit[video]'"
        raise EdgekitError(f"video and cameras need OpenCV, which does not import: {error}", remedy) from None
    return cv2

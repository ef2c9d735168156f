"""Small videos and sessions for tests of live input."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from edgekit.artifacts.metadata import ModelMeta
from edgekit.data.frames import Frame
from edgekit.data.video import VideoFile
from edgekit.errors import EdgekitError
from edgekit.runtime.session import Outputs

SIZE = (96, 128)


def picture(number: int) -> np.ndarray:
    """A red square that moves to the right on grey: RGB."""
    pixels = np.full((*SIZE, 3), 90, np.uint8)
    x = 4 + 2 * number % 90
    pixels[20:50, x : x + 30] = (250, 20, 20)
    return pixels


def write_video(path: Path, frames: int = 40, rate: float = 20.0) -> Path:
    video = VideoFile(path, SIZE, rate, path)
    for number in range(frames):
        video.write(picture(number))
    video.close()
    return path


class RedSquare:
    """A model that finds red things: one box around them, its mask full."""

    runtime = "test"
    meta = ModelMeta("test", (("__background__", "square"),), SIZE)

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.calls = seconds, 0

    def infer(self, pixels: np.ndarray) -> Outputs:
        self.calls += 1
        time.sleep(self.seconds)
        red = (pixels[..., 0] > 180) & (pixels[..., 1] < 90)
        ys, xs = np.nonzero(red)
        box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if len(xs) else [0, 0, 1, 1]
        boxes = np.array([box, [0, 0, 5, 5]], np.float32)
        scores = np.array([0.9 if len(xs) else 0.0, 0.1], np.float32)
        return Outputs(boxes, np.array([1, 1]), scores, np.ones((2, 28, 28), np.float32))


class FakeCamera:
    """A camera of 100 frames a second that goes away after some."""

    name, live, rate, expected = "camera 0", True, 100.0, None

    def __init__(self, frames: int) -> None:
        self.frames, self.count, self.closed = frames, 0, False
        self.began = time.monotonic()

    def read(self) -> Frame | None:
        time.sleep(0.01)
        if self.count == self.frames:
            return None
        self.count += 1
        return Frame(picture(self.count), self.count - 1, time.monotonic() - self.began)

    def problem(self) -> EdgekitError:
        return EdgekitError(f"{self.name}: went away after {self.count} frames", "check its cable")

    def stop(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

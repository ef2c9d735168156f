"""What a video or camera gives: frames, one after the other."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from edgekit.errors import EdgekitError


class Frame(NamedTuple):
    """One picture of a video: RGB uint8 [H, W, 3], its number, and its time in seconds from the start."""

    pixels: np.ndarray
    number: int
    seconds: float


class Frames(Protocol):
    """A video file or a camera that is being read."""

    name: str
    live: bool  # a camera: frames that come too fast are dropped, not queued
    rate: float  # frames a second
    expected: int | None  # frames in the file, as it says itself

    def read(self) -> Frame | None:
        """The next frame; None at the end, whether it was meant to end or not."""

    def problem(self) -> EdgekitError | None:
        """After the end: why it should not have ended."""

    def stop(self) -> None:
        """Make a read that waits for a camera return, where that can be done."""

    def close(self) -> None:
        """Give the file or camera back."""

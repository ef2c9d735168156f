"""Frames of a Jetson's CSI camera, through GStreamer's own program: OpenCV's wheels are built without GStreamer."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time

import numpy as np

from edgekit.data.frames import Frame, Frames
from edgekit.errors import EdgekitError

PROGRAM = "gst-launch-1.0"
HEIGHT, WIDTH, RATE = 720, 1280, 30  # every CSI sensor that JetPack supports has this mode or is scaled to it


class CsiCamera:
    """A running GStreamer pipeline that writes raw RGBA frames into a pipe."""

    live = True
    rate = float(RATE)
    expected: int | None = None

    def __init__(self, name: str, sensor: int) -> None:
        self.name, self.count = name, 0
        reader, writer = os.pipe()
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by close)
        # A pipe of its own, for Argus prints to stdout.
        self.process = subprocess.Popen(
            [PROGRAM, "-q", *pipeline(sensor, writer)], pass_fds=(writer,), stdout=self.said, stderr=self.said
        )
        os.close(writer)
        self.pipe = os.fdopen(reader, "rb")
        self.began = time.monotonic()

    def read(self) -> Frame | None:
        """The next frame; None when the pipeline has ended."""
        data = self.pipe.read(HEIGHT * WIDTH * 4)
        if len(data) < HEIGHT * WIDTH * 4:
            return None
        number, self.count = self.count, self.count + 1
        pixels = np.frombuffer(data, np.uint8).reshape(HEIGHT, WIDTH, 4)[..., :3]
        return Frame(np.ascontiguousarray(pixels), number, time.monotonic() - self.began)

    def problem(self) -> EdgekitError | None:
        """What GStreamer said last."""
        self.said.seek(0)
        lines = [line.strip() for line in self.said.read().splitlines() if "error" in line.lower()]
        reason = lines[-1] if lines else "its pipeline ended"
        remedy = (
            "check its ribbon cable; sudo systemctl restart nvargus-daemon; in a container, mount /tmp/argus_socket"
        )
        return EdgekitError(f"{self.name}: went away after {self.count} frames: {reason}", remedy)

    def stop(self) -> None:
        """End the pipeline, and with it the read."""
        self.process.terminate()

    def close(self) -> None:
        """Give the camera back."""
        self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.pipe.close()
        self.said.close()


def open_csi(camera: str) -> Frames:
    """The camera "csi:N"; raises EdgekitError without GStreamer."""
    number = camera.removeprefix("csi:")
    if not number.isdigit():
        raise EdgekitError(f"--camera {camera}: not a CSI camera", "give csi:0")
    if shutil.which(PROGRAM) is None:
        remedy = "on the Jetson: sudo apt-get install gstreamer1.0-tools"
        raise EdgekitError(f"camera {camera}: {PROGRAM} is not installed", remedy)
    return CsiCamera(f"camera {camera}", int(number))


def pipeline(sensor: int, file_descriptor: int) -> list[str]:
    """GStreamer's elements, from the sensor to raw frames in a file descriptor."""
    source = f"nvarguscamerasrc sensor-id={sensor}"
    captured = f"video/x-raw(memory:NVMM),width={WIDTH},height={HEIGHT},framerate={RATE}/1"
    return f"{source} ! {captured} ! nvvidconv ! video/x-raw,format=RGBA ! fdsink fd={file_descriptor}".split()

"""The stages of a live run, each a thread: frames decoded ahead of the model, drawn and written behind it."""

from __future__ import annotations

import contextlib
import json
import queue
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from edgekit.data.detections import Detections
from edgekit.data.frames import Frame, Frames
from edgekit.data.images import fit
from edgekit.data.video import VideoFile
from edgekit.inference.drawing import draw

IN_FLIGHT = 4  # frames that may wait between two stages
SILENCE = 15.0  # seconds without a frame after which a camera has gone away; the first takes some
PATIENCE = 0.1  # seconds after which a waiting stage looks whether it should stop


def durations() -> deque[float]:
    """The last thousand durations in seconds: a camera may run for weeks."""
    return deque(maxlen=1000)


def median_ms(seconds: Collection[float]) -> float:
    """The median of durations; 0 without any."""
    return round(1e3 * statistics.median(seconds), 3) if seconds else 0.0


class Worker:
    """A thread that runs one function and hands on what it raises."""

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self.work = work
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name=f"edgekit {name}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.work()
        except BaseException as error:
            self.error = error

    def check(self) -> None:
        """Raise what the thread raised."""
        if self.error is not None:
            raise self.error


class FrameReader:
    """Frames decoded by a thread of their own: all of a file's, the latest of a camera's."""

    def __init__(self, frames: Frames, limit: int | None) -> None:
        self.frames, self.limit, self.dropped, self.decode = frames, limit, 0, durations()
        self.stop, self.ended = threading.Event(), "at its end"
        self.waiting: queue.Queue[Frame | None] = queue.Queue(1 if frames.live else IN_FLIGHT)
        self.worker = Worker(self._read, "decoding")

    def __length_hint__(self) -> int:
        """How many frames there will be, where a file says so; for progress bars."""
        return min((n for n in (self.frames.expected, self.limit) if n is not None), default=NotImplemented)

    def __iter__(self) -> Iterator[Frame]:
        taken, last = 0, time.monotonic()
        while self.limit is None or taken < self.limit:
            try:
                frame = self.waiting.get(timeout=PATIENCE)
            except queue.Empty:
                self.worker.check()
                if self.frames.live and time.monotonic() - last > SILENCE:
                    return
                continue
            if frame is None:
                self.worker.check()
                return
            taken += 1
            yield frame
            last = time.monotonic()
        self.ended = "at --frames"

    def close(self) -> None:
        """Stop decoding and release the file or camera."""
        self.stop.set()
        self.frames.stop()
        self.worker.thread.join(timeout=10)
        if not self.worker.thread.is_alive():  # else the driver holds it, and to close under it would crash
            self.frames.close()

    def _read(self) -> None:
        try:
            while not self.stop.is_set():
                began = time.perf_counter()
                frame = self.frames.read()
                self.decode.append(time.perf_counter() - began)
                if frame is None:
                    break
                self._put(frame)
        finally:
            self._put(None)

    def _put(self, frame: Frame | None) -> None:
        """Hand a frame on; a camera's takes the place of one that still waits."""
        replaces = self.frames.live and frame is not None
        while not self.stop.is_set():
            with contextlib.suppress(queue.Full):
                self.waiting.put(frame, timeout=0.0 if replaces else PATIENCE)
                return
            if replaces:
                with contextlib.suppress(queue.Empty):
                    self.waiting.get_nowait()
                    self.dropped += 1


class FrameWriter:
    """Frames drawn and written by a thread of their own, into a video, JSON lines, or both.

    ``video`` and ``jsonl`` are the paths to write to, ``name`` is the video's in an error.
    """

    def __init__(
        self, source: Frames, categories: tuple[str, ...], video: Path | None, jsonl: Path | None, name: Path | None
    ) -> None:
        self.source, self.categories, self.output, self.name = source, categories, video, name
        self.lines: TextIO | None = jsonl.open("w", encoding="utf-8") if jsonl is not None else None
        self.frames = self.objects = 0
        self.drawing = durations()
        self.video: VideoFile | None = None
        self.size, self.refitted = (0, 0), 0  # of the first frame; how many frames had another
        self.waiting: queue.Queue[tuple[Frame, Detections] | None] = queue.Queue(IN_FLIGHT)
        self.worker = Worker(self._write, "drawing")

    def put(self, frame: Frame, detections: Detections) -> None:
        """Hand a frame and what the model found in it on."""
        self._put((frame, detections))
        self.frames += 1
        self.objects += len(detections)

    def finish(self) -> None:
        """Write what waits and make the files whole."""
        if self.worker.thread.is_alive():
            self._put(None)
        self.worker.thread.join()
        self.worker.check()

    def abandon(self) -> None:
        """Stop without writing what waits; nothing to do after ``finish``."""
        while self.worker.thread.is_alive():
            try:
                self.waiting.put_nowait(None)
                self.worker.thread.join()
            except queue.Full:
                self.waiting.get_nowait()

    def _put(self, found: tuple[Frame, Detections] | None) -> None:
        while True:
            self.worker.check()
            with contextlib.suppress(queue.Full):
                self.waiting.put(found, timeout=PATIENCE)
                return

    def _write(self) -> None:
        try:
            while (found := self.waiting.get()) is not None:
                began = time.perf_counter()
                self._write_one(*found)
                self.drawing.append(time.perf_counter() - began)
        finally:
            for file in (self.video, self.lines):
                if file is not None:
                    file.close()

    def _write_one(self, frame: Frame, detections: Detections) -> None:
        if self.lines is not None:
            row: dict[str, Any] = {"frame": frame.number, "seconds": round(frame.seconds, 3)}
            self.lines.write(json.dumps(row | {"detections": detections.to_coco(self.categories)}) + "\n")
            self.lines.flush()
        if self.output is not None and self.name is not None:
            drawn = np.asarray(draw(frame.pixels, detections, self.categories))
            if self.video is None:
                self.size = (drawn.shape[0], drawn.shape[1])
                self.video = VideoFile(self.output, self.size, self.source.rate, self.name)
            if drawn.shape[:2] != self.size:  # a video has one size, and OpenCV drops other frames without a word
                drawn, self.refitted = fit(drawn, self.size).pixels, self.refitted + 1
            self.video.write(drawn, frame.seconds if self.source.live else None)

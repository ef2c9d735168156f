"""The stages of a live run, each a thread: frames decoded ahead of the model, drawn and written behind it."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from edgekit.data.detections import Detections
from edgekit.data.frames import Frame, Frames
from edgekit.data.images import fit
from edgekit.data.video import VideoFile
from edgekit.inference.drawing import draw

IN_FLIGHT = 4  # frames that may wait between two stages
SILENCE = 15.0  # seconds without a frame after which a camera has gone away; the first takes some
PATIENCE = 0.1  # seconds after which a waiting stage looks whether it should stop


class Found(NamedTuple):
    """A frame and what the model found in it."""

    frame: Frame
    detections: Detections


class Medians:
    """The median of the last thousand durations in ms, in constant memory."""

    def __init__(self) -> None:
        self.values, self.count = np.zeros(1000), 0

    def add(self, seconds: float) -> None:
        """Note one duration."""
        self.values[self.count % len(self.values)] = 1e3 * seconds
        self.count += 1

    def median(self) -> float:
        """0 where nothing was noted."""
        return round(float(np.median(self.values[: self.count])), 3) if self.count else 0.0


class Stage:
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


class Reading:
    """Frames decoded by a thread of their own: all of a file's, the latest of a camera's."""

    def __init__(self, frames: Frames, limit: int | None) -> None:
        self.frames, self.limit, self.dropped, self.decode = frames, limit, 0, Medians()
        self.stop, self.ended = threading.Event(), "at its end"
        self.waiting: queue.Queue[Frame | None] = queue.Queue(1 if frames.live else IN_FLIGHT)
        self.stage = Stage(self._read, "decoding")

    def __length_hint__(self) -> int:
        """How many frames there will be, where a file says so; for progress bars."""
        return min((n for n in (self.frames.expected, self.limit) if n is not None), default=NotImplemented)

    def __iter__(self) -> Iterator[Frame]:
        taken, last = 0, time.monotonic()
        while self.limit is None or taken < self.limit:
            try:
                frame = self.waiting.get(timeout=PATIENCE)
            except queue.Empty:
                self.stage.check()
                if self.frames.live and time.monotonic() - last > SILENCE:
                    return
                continue
            if frame is None:
                self.stage.check()
                return
            taken += 1
            yield frame
            last = time.monotonic()
        self.ended = "at --frames"

    def close(self) -> None:
        """Stop decoding and give the file or camera back."""
        self.stop.set()
        self.frames.stop()
        self.stage.thread.join(timeout=10)
        if not self.stage.thread.is_alive():  # else the driver holds it, and to close under it would crash
            self.frames.close()

    def _read(self) -> None:
        try:
            while not self.stop.is_set():
                began = time.perf_counter()
                frame = self.frames.read()
                self.decode.add(time.perf_counter() - began)
                if frame is None:
                    break
                self._put(frame)
        finally:
            self._put(None)

    def _put(self, frame: Frame | None) -> None:
        while not self.stop.is_set():
            try:
                self.waiting.put(frame, timeout=0.0 if self.frames.live and frame is not None else PATIENCE)
                return
            except queue.Full:
                if self.frames.live and frame is not None:
                    try:
                        self.waiting.get_nowait()
                        self.dropped += 1
                    except queue.Empty:
                        continue


class Writing:
    """Frames drawn and written by a thread of their own, into a video, JSON lines, or both."""

    def __init__(self, output: Path | None, lines: TextIO | None, live: bool, rate: float, categories: tuple[str, ...],
                 name: Path | None) -> None:  # fmt: skip
        self.output, self.lines, self.live, self.rate = output, lines, live, rate
        self.categories, self.name, self.drawing = categories, name, Medians()
        self.video: VideoFile | None = None
        self.size, self.refitted = (0, 0), 0  # of the first frame; how many frames had another
        self.waiting: queue.Queue[Found | None] = queue.Queue(IN_FLIGHT)
        self.stage = Stage(self._write, "drawing")

    def put(self, found: Found | None) -> None:
        """Hand a frame on, or None: that was the last one."""
        while True:
            self.stage.check()
            try:
                self.waiting.put(found, timeout=PATIENCE)
                return
            except queue.Full:
                continue

    def finish(self) -> None:
        """Write what waits and make the video whole."""
        if self.stage.thread.is_alive():
            self.put(None)
        self.stage.thread.join()
        self.stage.check()

    def abandon(self) -> None:
        """Stop without writing what waits; nothing to do after ``finish``."""
        while self.stage.thread.is_alive():
            try:
                self.waiting.put_nowait(None)
                self.stage.thread.join()
            except queue.Full:
                self.waiting.get_nowait()

    def _write(self) -> None:
        try:
            while (found := self.waiting.get()) is not None:
                began = time.perf_counter()
                self._write_one(found)
                self.drawing.add(time.perf_counter() - began)
        finally:
            if self.video is not None:
                self.video.close()

    def _write_one(self, found: Found) -> None:
        frame, detections = found
        if self.lines is not None:
            row: dict[str, Any] = {"frame": frame.number, "seconds": round(frame.seconds, 3)}
            self.lines.write(json.dumps(row | {"detections": detections.to_coco(self.categories)}) + "\n")
            self.lines.flush()
        if self.output is not None and self.name is not None:
            drawn = np.asarray(draw(frame.pixels, detections, self.categories))
            if self.video is None:
                self.size = (drawn.shape[0], drawn.shape[1])
                self.video = VideoFile(self.output, self.size, self.rate, self.name)
            if drawn.shape[:2] != self.size:  # a video has one size, and OpenCV drops other frames without a word
                drawn, self.refitted = fit(drawn, self.size).pixels, self.refitted + 1
            self.video.write(drawn, frame.seconds if self.live else None)

"""Run a model on a video or camera: decoding, inference and drawing at the same time, a few frames in flight."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from edgekit.data.frames import Frames
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import atomic_path
from edgekit.inference.live_stages import Found, Medians, Reading, Writing
from edgekit.progress import Track, silent
from edgekit.runtime.session import Session, detect


@dataclass(frozen=True)
class Stream:
    """What came of a video or camera.

    ``ended`` is "at its end", "at --frames" or "by Ctrl-C"; ``problem`` says why it ended otherwise. Milliseconds are
    medians of a frame in each stage; the stages overlap, so ``frames_per_second`` is that of the slowest.
    ``dropped`` frames of a camera came while the model was busy. ``refitted`` frames had another size than the first
    and were scaled to it for the video.
    """

    source: str
    frames: int
    objects: int
    seconds: float
    frames_per_second: float
    dropped: int
    decode_ms: float
    inference_ms: float
    drawing_ms: float
    ended: str
    problem: str | None
    output: Path | None
    jsonl: Path | None
    refitted: int


def watch(
    session: Session,
    frames: Frames,
    output: Path | None = None,
    jsonl: Path | None = None,
    min_score: float = 0.5,
    limit: int | None = None,
    track: Track = silent,
) -> Stream:
    """Find objects in every frame until the end, ``limit`` frames or Ctrl-C; the files are whole in each case."""
    count = objects = 0
    inference, began, ended = Medians(), time.perf_counter(), None
    with ExitStack() as files:
        video = files.enter_context(atomic_path(output)) if output is not None else None
        lines = files.enter_context(_text(files.enter_context(atomic_path(jsonl)))) if jsonl is not None else None
        reading = Reading(frames, limit)
        files.callback(reading.close)
        writing = Writing(video, lines, frames.live, frames.rate, session.meta.categories, output)
        files.callback(writing.abandon)
        try:
            for frame in track(reading, "predicting"):
                start = time.perf_counter()
                found = detect(session, frame.pixels)
                found = found.select(found.scores >= min_score)
                inference.add(time.perf_counter() - start)
                writing.put(Found(frame, found))
                count, objects = count + 1, objects + len(found)
        except KeyboardInterrupt:
            if count == 0:
                raise
            ended = "by Ctrl-C"
        writing.finish()
        seconds = time.perf_counter() - began
        problem = frames.problem() if ended is None and reading.ended == "at its end" else None
        if count == 0 and problem is None:
            problem = EdgekitError(f"{frames.name}: holds no frame that can be decoded", "copy or convert it again")
        if count == 0 and problem is not None:
            raise problem
        return Stream(
            source=frames.name,
            frames=count,
            objects=objects,
            seconds=round(seconds, 3),
            frames_per_second=round(count / seconds, 2),
            dropped=reading.dropped,
            decode_ms=reading.decode.median(),
            inference_ms=inference.median(),
            drawing_ms=writing.drawing.median(),
            ended=ended or reading.ended,
            problem=str(problem) if problem else None,
            output=output,
            jsonl=jsonl,
            refitted=writing.refitted,
        )


def _text(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8")

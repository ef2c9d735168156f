"""Runs a model on a video or camera: decoding, inference and drawing at the same time, a few frames in flight."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edgekit.data.frames import Frames
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import atomic_path
from edgekit.inference.live_stages import FrameReader, FrameWriter, durations, median_ms
from edgekit.progress import Track, silent
from edgekit.runtime.session import Session, detect


@dataclass(frozen=True)
class Stream:
    """What came of a video or camera.

    ``ended`` is "at its end", "at --frames" or "by Ctrl-C"; ``problem`` says why it ended otherwise. Milliseconds are
    medians per frame of each stage; the stages overlap, so ``frames_per_second`` is that of the slowest.
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
    inference, began = durations(), time.perf_counter()
    with ExitStack() as files:
        video = files.enter_context(atomic_path(output)) if output is not None else None
        lines = files.enter_context(atomic_path(jsonl)) if jsonl is not None else None
        reader = FrameReader(frames, limit)
        files.callback(reader.close)
        writer = FrameWriter(frames, session.meta.categories, video, lines, output)
        files.callback(writer.abandon)
        try:
            for frame in track(reader, "predicting"):
                start = time.perf_counter()
                found = detect(session, frame.pixels)
                found = found.select(found.scores >= min_score)
                inference.append(time.perf_counter() - start)
                writer.put(frame, found)
        except KeyboardInterrupt:
            if writer.frames == 0:
                raise
            reader.ended = "by Ctrl-C"
        writer.finish()
        seconds = round(time.perf_counter() - began, 3)
        problem = frames.problem() if reader.ended == "at its end" else None
        if writer.frames == 0:
            raise problem or EdgekitError(f"{frames.name}: holds no frame that can be decoded", "convert it again")
        return Stream(
            source=frames.name,
            frames=writer.frames,
            objects=writer.objects,
            seconds=seconds,
            frames_per_second=round(writer.frames / seconds, 2),
            dropped=reader.dropped,
            decode_ms=median_ms(reader.decode),
            inference_ms=median_ms(inference),
            drawing_ms=median_ms(writer.drawing),
            ended=reader.ended,
            problem=str(problem) if problem else None,
            output=output,
            jsonl=jsonl,
            refitted=writer.refitted,
        )

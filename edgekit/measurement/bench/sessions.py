"""Time open sessions from the photo to pasted masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.data.detections import from_canvas
from edgekit.data.images import Canvas, fit, read_image
from edgekit.errors import EdgekitError
from edgekit.measurement.bench.benchmark import CallSplit, Latency
from edgekit.measurement.bench.harness import Clock, Subject, Timing, interleave
from edgekit.progress import Track, silent
from edgekit.runtime.session import Outputs, Session

Stage = Callable[[Any], Any]


def time_sessions(
    sessions: Mapping[str, Session],
    photos: Sequence[np.ndarray],
    runs: int,
    track: Track = silent,
    clock: Clock = Clock(),
) -> list[Latency]:
    """Time open sessions, by the name to report: in every round each session takes the same photo once."""
    subjects = [Subject(name, call_stages(session, 1)) for name, session in sessions.items()]
    timings = interleave(subjects, [(p,) for p in photos], runs, clock=clock, track=track)
    for timing in timings:
        if timing.error is not None:
            raise timing.error
    return [latency(timing, sessions[timing.subject.name], 1) for timing in timings]


def call_stages(session: Session, batch: int) -> tuple[Stage, Stage, Stage]:
    """Preprocessing, inference and postprocessing of a tuple of ``batch`` photos; the last gives the objects found."""
    size = session.meta.input_size

    def preprocess(photos: tuple[np.ndarray, ...]) -> list[Canvas]:
        return [fit(photo, size) for photo in photos]

    def infer(canvases: list[Canvas]) -> tuple[list[Canvas], list[Outputs]]:
        if batch == 1:
            return canvases, [session.infer(canvases[0].pixels)]
        return canvases, session.infer_batch(np.stack([c.pixels for c in canvases]))

    def postprocess(made: tuple[list[Canvas], list[Outputs]]) -> int:
        objects = 0
        for canvas, outputs in zip(*made, strict=True):
            found = from_canvas(canvas, *outputs)
            found.cropped_masks()
            objects += len(found)
        return objects

    return preprocess, infer, postprocess


def decode_photos(paths: tuple[Any, ...]) -> tuple[np.ndarray, ...]:
    """The photos of image files."""
    return tuple(read_image(path) for path in paths)


def check_batch(session: Session, batch: int, name: str) -> tuple[str, ...]:
    """Raise EdgekitError if a session cannot take ``batch`` photos per call; notes on how it takes them."""
    takes = session.batch
    if takes is None or batch == takes:  # None: any number
        return ()
    if batch == 1:
        return (
            f"exported for {takes} photos per call, of which {takes - 1} are left empty here: give --batch {takes}",
        )
    one_by_one = f"engines take one photo per call: give --batch 1, or --streams {batch} for several at once"
    remedy = f"export it with --batch {batch}" if session.runtime.startswith("onnxruntime") else one_by_one
    raise EdgekitError(f"{name}: takes {takes} photo{'s' * (takes > 1)} per call, not {batch}", remedy)


def latency(timing: Timing, session: Session, batch: int) -> Latency:
    """The figures of a subject's timed calls; its stages are ``call_stages``, with decoding before them or not."""
    calls = calls_ms(timing)
    p50, p90, p99 = (_ms(v) for v in np.percentile(calls, (50, 90, 99)))
    parts = [_ms(v) for v in np.median(1e3 * timing.seconds, axis=0)]
    split = CallSplit(parts[-4] if len(parts) == 4 else None, *parts[-3:])
    return Latency(
        artifact=timing.subject.name,
        runtime=session.runtime,
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        mean_ms=_ms(calls.mean()),
        std_ms=_ms(calls.std(ddof=1)) if len(calls) > 1 else 0.0,
        images_per_s=round(batch * 1e3 / float(calls.mean()), 2),
        inference_p50_ms=split.inference_ms,
        split=split,
        runs=len(calls),
        warm_up=timing.warm_up,
        stable=timing.stable,
        objects_per_image=round(sum(timing.returned) / (batch * len(calls)), 2),
        input_size=session.meta.input_size,
        batch=batch,
    )


def calls_ms(timing: Timing) -> np.ndarray:
    """Each call's latency without decoding, in ms."""
    return 1e3 * timing.seconds[:, -3:].sum(axis=1)


def _ms(value: float) -> float:
    return round(float(value), 4)

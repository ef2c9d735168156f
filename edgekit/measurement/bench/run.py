"""What do artifacts cost on this device? All of one benchmark, phase by phase.

Each artifact is first opened alone, in a process of its own, for its memory. All are then timed in turns; after that,
one after the other, each runs alone for its energy, in several sessions, under a profiler and over annotated photos, so
that none of this disturbs the times. An artifact that fails is named, and the others go on.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgekit.artifacts.metadata import tool_versions
from edgekit.artifacts.model_names import resolve
from edgekit.data.images import SAMPLE_PHOTOS, list_images, read_image
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from edgekit.measurement.bench.accuracy import Annotated, average_precision, read_annotated
from edgekit.measurement.bench.alone import try_alone
from edgekit.measurement.bench.benchmark import Benchmark, Failure, LayerTime, Measured, Memory, Streams
from edgekit.measurement.bench.forms import Form, failed, fallen_back, forms, open_form
from edgekit.measurement.bench.harness import Clock, Subject, Timing, interleave
from edgekit.measurement.bench.power import Window, absent, has_power, power_of, run_alone, why_not
from edgekit.measurement.bench.profile import profile as profile_layers
from edgekit.measurement.bench.sessions import calls_ms, check_batch, decode, latency, stages
from edgekit.measurement.bench.streams import run_streams, why_no_streams
from edgekit.measurement.evaluate import Evaluation
from edgekit.measurement.machine.system import machine
from edgekit.measurement.telemetry.sampler import Sampler
from edgekit.measurement.telemetry.source import Missing, Source
from edgekit.measurement.telemetry.summary_of_run import Telemetry
from edgekit.progress import Track, silent
from edgekit.runtime.gpu import NoGpu, first_gpu
from edgekit.runtime.session import Session

RUNS = 50
ALONE = 4.0  # seconds of each artifact for its energy: 16 samples of most sources, 8 of a Jetson's; and for its streams
MOST_PHOTOS = 64  # of a folder, spread evenly over it


@dataclass(frozen=True)
class Plan:
    """What to measure besides latency and memory, and on which photos."""

    photos: tuple[Path, ...]
    batch: int
    streams: int
    profile: bool
    alone_seconds: float
    annotated: Annotated | None

    def calls(self) -> list[tuple[Path, ...]]:
        """The photos of each call, in turn."""
        count = len(self.photos)
        return [tuple(self.photos[(i + k) % count] for k in range(self.batch)) for i in range(0, count, self.batch)]


@dataclass
class _Lane:
    """One artifact on its way through the phases."""

    form: Form
    session: Session
    memory: Memory
    notes: tuple[str, ...]
    window: Window | None = None
    streams: Streams | None = None
    layers: tuple[LayerTime, ...] = ()
    accuracy: Evaluation | None = None
    not_measured: dict[str, str] = field(default_factory=dict)


def measure(
    models: Sequence[str | Path],
    images: Path | None = None,
    data: Path | None = None,
    runs: int | None = None,
    seconds: float | None = None,
    batch: int = 1,
    streams: int = 1,
    providers: Sequence[str] = (),
    compiled: bool = False,
    profile: bool = False,
    base_classes: Path | None = None,
    architecture: str | None = None,
    track: Track = silent,
    sources: Sequence[Source | Missing] | None = None,
    alone_seconds: float = ALONE,
) -> Benchmark:
    """Measure artifacts side by side on the photos of a folder; see ``edgekit.bench``."""
    _check_numbers(runs, seconds, batch, streams)
    wanted = forms(models, providers, compiled, base_classes, architecture)
    annotated = read_annotated(data, images) if data is not None else None
    plan = Plan(_photos(images), batch, streams, profile, alone_seconds, annotated)
    sizes = Counter("x".join(map(str, read_image(p).shape[:2])) for p in plan.photos)  # and each can be read
    failures: list[Failure] = []
    lanes = _open(wanted, plan, failures, track)
    clock = Clock()
    with Sampler(sources) as sampler:
        subjects = [Subject(lane.form.name, (decode, *stages(lane.session, batch))) for lane in lanes]
        rounds = None if seconds is not None else runs or RUNS
        timings = interleave(subjects, plan.calls(), rounds, seconds, clock, track) if lanes else []
        lanes, timings = _without_failed(lanes, timings, failures)
        for lane in track(lanes, "alone"):
            _alone(lane, plan, clock, sampler, failures)
    for lane in lanes:
        _accuracy(lane, plan, failures, track)
    telemetry = sampler.result
    assert telemetry is not None
    return Benchmark(
        artifacts=tuple(_measured(lane, t, plan, telemetry) for lane, t in zip(lanes, timings, strict=True)),
        failed=tuple(failures),
        photos=len(plan.photos),
        photo_sizes=dict(sizes),
        settings={"runs": rounds, "seconds": seconds, "batch": batch, "streams": streams, "interleaved": len(lanes)},
        machine=machine(),
        versions=tool_versions(),
        telemetry=telemetry,
        not_measured=absent(telemetry),
    )


def _check_numbers(runs: int | None, seconds: float | None, batch: int, streams: int) -> None:
    if runs is not None and seconds is not None:
        raise EdgekitError(f"--runs {runs} and --seconds {seconds:g} exclude each other", "give one of them")
    for option, value in {"runs": runs, "seconds": seconds, "batch": batch, "streams": streams}.items():
        if value is not None and not (value > 0 and value < float("inf")):
            raise EdgekitError(f"--{option} {value:g}: nothing to time", "give 1 or more")
    if batch > 1 and streams > 1:
        raise EdgekitError(f"--batch {batch} and --streams {streams} exclude each other", "measure one, then the other")


def _photos(images: Path | None) -> tuple[Path, ...]:
    found = list_images(images or SAMPLE_PHOTOS)
    chosen = np.unique(np.linspace(0, len(found) - 1, min(len(found), MOST_PHOTOS)).round().astype(int))
    return tuple(found[i] for i in chosen)


def _open(wanted: Sequence[Form], plan: Plan, failures: list[Failure], track: Track) -> list[_Lane]:
    """Open each form: first alone, all of them before any is held open here, then to be timed."""
    memories: dict[Form, Memory] = {}
    lanes: list[_Lane] = []
    for form in track(wanted, "running alone"):
        with _noting(form, failures):
            resolve(form.model)
            memories[form] = try_alone(form, plan.photos[0])
    if not memories:
        return []
    gpu = first_gpu()
    for form in track(list(memories), "opening"):
        with _noting(form, failures):
            session, memory = open_form(form), memories[form]
            notes = (*check_batch(session, plan.batch, form.name), *fallen_back(form, session, gpu))
            lane = _Lane(form, session, memory, notes)
            if plan.streams > 1 and (why := why_no_streams(session)):
                lane.not_measured["streams"] = why
                lane.notes = (*notes, f"--streams: {why}")
            if memory.device_mb is None:
                lane.not_measured["device memory"] = gpu.reason if isinstance(gpu, NoGpu) else "the driver did not say"
            lanes.append(lane)
    return lanes


@contextlib.contextmanager
def _noting(form: Form, failures: list[Failure]) -> Iterator[None]:
    """Note what goes wrong with one artifact, so that the others go on."""
    try:
        yield
    except Exception as error:
        known = failed(form.name, error)
        failures.append(Failure(form.name, known.message, known.hint))


def _without_failed(
    lanes: Sequence[_Lane], timings: Sequence[Timing], failures: list[Failure]
) -> tuple[list[_Lane], list[Timing]]:
    """The lanes whose every call went well, with their times."""
    for timing in timings:
        if timing.error is not None:
            known = failed(timing.name, timing.error)
            failures.append(Failure(timing.name, known.message, known.hint))
    good = [(lane, timing) for lane, timing in zip(lanes, timings, strict=True) if timing.error is None]
    return [lane for lane, _ in good], [timing for _, timing in good]


def _alone(lane: _Lane, plan: Plan, clock: Clock, sampler: Sampler, failures: list[Failure]) -> None:
    """The phases in which one artifact has the device to itself."""
    subject = Subject(lane.form.name, (decode, *stages(lane.session, plan.batch)))
    photos = [(read_image(p),) for p in plan.photos[:8]]
    with _noting(lane.form, failures):
        if has_power(sampler):
            lane.window = run_alone(subject, plan.calls(), clock, plan.alone_seconds)
    with _noting(lane.form, failures):
        if plan.streams > 1 and "streams" not in lane.not_measured:
            lane.streams = run_streams(lane.form, lane.session, photos, plan.streams, plan.alone_seconds)
    with _noting(lane.form, failures):
        if plan.profile:
            lane.layers = profile_layers(lane.form, lane.session, photos[0][0])


def _accuracy(lane: _Lane, plan: Plan, failures: list[Failure], track: Track) -> None:
    if plan.annotated is None:
        lane.not_measured["accuracy"] = "no --data was given"
        return
    with _noting(lane.form, failures):
        lane.accuracy = average_precision(lane.session, plan.annotated, lane.form.name, track)
    if lane.accuracy is None:
        lane.not_measured["accuracy"] = failures[-1].reason


def _measured(lane: _Lane, timing: Timing, plan: Plan, telemetry: Telemetry) -> Measured:
    why = dict(lane.not_measured)
    power = power_of(lane.window, telemetry, plan.batch) if lane.window is not None else None
    if power is None:
        why["power"] = why_not(telemetry, "power and energy")
    if lane.streams is None:
        why.setdefault("streams", "no --streams was given" if plan.streams == 1 else "failed")
    if not lane.layers:
        why["layers"] = "failed" if plan.profile else "no --profile was given"
    notes = lane.notes if timing.stable else (*lane.notes, "its times had not settled when the warm-up ended")
    return Measured(
        latency=latency(timing, lane.session, plan.batch),
        model=lane.form.model,
        sha256=sha256(resolve(lane.form.model)),
        precision=lane.session.meta.precision,
        calls_ms=tuple(round(float(v), 4) for v in calls_ms(timing)),
        memory=lane.memory,
        power=power,
        streams=lane.streams,
        accuracy=lane.accuracy,
        layers=lane.layers,
        notes=notes,
        not_measured=why,
    )

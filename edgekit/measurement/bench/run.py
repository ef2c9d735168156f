"""One benchmark of artifacts on this device, phase by phase.

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

from edgekit.artifacts.manifest import model_sha256
from edgekit.artifacts.metadata import tool_versions
from edgekit.artifacts.model_names import resolve
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.images import read_image
from edgekit.measurement.bench.alone import try_alone
from edgekit.measurement.bench.benchmark import Benchmark, Failure, LayerTime, Measured, Memory, Streams
from edgekit.measurement.bench.forms import Form, failed, fallen_back, forms, open_form
from edgekit.measurement.bench.harness import Clock, Subject, Timing, interleave
from edgekit.measurement.bench.plan import BenchOptions, calls_of
from edgekit.measurement.bench.power import Window, absent, has_power, power_of, run_alone, why_not
from edgekit.measurement.bench.profile import profile
from edgekit.measurement.bench.sessions import call_stages, calls_ms, check_batch, decode_photos, latency
from edgekit.measurement.bench.streams import run_streams, why_no_streams
from edgekit.measurement.evaluate import Evaluation, evaluate_session
from edgekit.measurement.machine.system import machine
from edgekit.measurement.telemetry.records import Missing, Telemetry, TelemetrySource
from edgekit.measurement.telemetry.sampler import Sampler
from edgekit.progress import Track, silent
from edgekit.runtime.gpu import NoGpu, first_gpu
from edgekit.runtime.session import Session

ALONE = 4.0  # seconds of each artifact for its energy: 16 samples of most sources, 8 of a Jetson's; and for its streams


@dataclass
class _Lane:
    """One artifact on its way through the phases."""

    form: Form
    session: Session
    memory: Memory
    subject: Subject
    notes: tuple[str, ...]
    window: Window | None = None
    streams: Streams | None = None
    layers: tuple[LayerTime, ...] = ()
    accuracy: Evaluation | None = None
    not_measured: dict[str, str] = field(default_factory=dict)


def measure(
    models: Sequence[str | Path],
    options: BenchOptions = BenchOptions(),
    track: Track = silent,
    sources: Sequence[TelemetrySource | Missing] | None = None,
) -> Benchmark:
    """Measure artifacts side by side on the photos of a folder; see ``edgekit.bench``."""
    wanted = forms(models, options.providers, options.compiled, options.hints)
    photos, annotated = options.photos(), options.annotated()
    sizes = Counter("x".join(map(str, read_image(p).shape[:2])) for p in photos)  # and each can be read
    failures: list[Failure] = []
    lanes = _open(wanted, photos[0], options, failures, track)
    calls, clock = calls_of(photos, options.batch), Clock()
    with Sampler(sources) as sampler:
        subjects = [lane.subject for lane in lanes]
        timings = interleave(subjects, calls, options.rounds, options.seconds, clock, track) if lanes else []
        timed = [(lane, timing) for lane, timing in zip(lanes, timings, strict=True) if _went_well(timing, failures)]
        for lane, _ in track(timed, "alone"):
            _alone(lane, calls, options, clock, sampler, failures)
    for lane, _ in timed:
        _accuracy(lane, annotated, failures, track)
    telemetry = sampler.result
    assert telemetry is not None
    return Benchmark(
        artifacts=tuple(_measured(lane, timing, options, telemetry) for lane, timing in timed),
        failed=tuple(failures),
        photos=len(photos),
        photo_sizes=dict(sizes),
        settings={
            "runs": options.rounds,
            "seconds": options.seconds,
            "batch": options.batch,
            "streams": options.streams,
            "interleaved": len(timed),
        },
        machine=machine(),
        versions=tool_versions(),
        telemetry=telemetry,
        not_measured=absent(telemetry),
    )


def _open(
    wanted: Sequence[Form], photo: Path, options: BenchOptions, failures: list[Failure], track: Track
) -> list[_Lane]:
    """Open each form: first alone, all of them before any is held open here, then to be timed."""
    memories: dict[Form, Memory] = {}
    lanes: list[_Lane] = []
    for form in track(wanted, "running alone"):
        with _noting(form.name, failures):
            resolve(form.model)
            memories[form] = try_alone(form, photo)
    if not memories:
        return []
    gpu = first_gpu()
    for form, memory in track(list(memories.items()), "opening"):
        with _noting(form.name, failures):
            session = open_form(form)
            notes = (*check_batch(session, options.batch, form.name), *fallen_back(form, session, gpu))
            subject = Subject(form.name, (decode_photos, *call_stages(session, options.batch)))
            lane = _Lane(form, session, memory, subject, notes)
            if options.streams > 1 and (why := why_no_streams(session)):
                lane.not_measured["streams"] = why
                lane.notes = (*notes, f"--streams: {why}")
            if memory.device_mb is None:
                lane.not_measured["device memory"] = gpu.reason if isinstance(gpu, NoGpu) else "the driver did not say"
            lanes.append(lane)
    return lanes


@contextlib.contextmanager
def _noting(name: str, failures: list[Failure]) -> Iterator[None]:
    """Note what goes wrong with one artifact, so that the others go on."""
    try:
        yield
    except Exception as error:
        known = failed(name, error)
        failures.append(Failure(name, known.message, known.hint))


def _went_well(timing: Timing, failures: list[Failure]) -> bool:
    """Whether each call of an artifact went well; notes why not."""
    with _noting(timing.subject.name, failures):
        if timing.error is not None:
            raise timing.error
    return timing.error is None


def _alone(
    lane: _Lane,
    calls: Sequence[tuple[Path, ...]],
    options: BenchOptions,
    clock: Clock,
    sampler: Sampler,
    failures: list[Failure],
) -> None:
    """The phases in which one artifact has the device to itself."""
    name, photos = lane.form.name, [decode_photos(call[:1]) for call in calls[:8]]
    with _noting(name, failures):
        if has_power(sampler):
            lane.window = run_alone(lane.subject, calls, clock, ALONE)
    with _noting(name, failures):
        if options.streams > 1 and "streams" not in lane.not_measured:
            lane.streams = run_streams(lane.form, lane.session, photos, options.streams, ALONE)
    with _noting(name, failures):
        if options.profile:
            lane.layers = profile(lane.form, lane.session, photos[0][0])


def _accuracy(lane: _Lane, annotated: Dataset | None, failures: list[Failure], track: Track) -> None:
    if annotated is None:
        lane.not_measured["accuracy"] = "no --data was given"
        return
    with _noting(lane.form.name, failures):
        lane.accuracy = evaluate_session(lane.session, annotated, lane.form.name, track)
    if lane.accuracy is None:
        lane.not_measured["accuracy"] = failures[-1].reason


def _measured(lane: _Lane, timing: Timing, options: BenchOptions, telemetry: Telemetry) -> Measured:
    why = lane.not_measured
    power = power_of(lane.window, telemetry, options.batch) if lane.window is not None else None
    if power is None:
        why["power"] = why_not(telemetry, "power and energy")
    if lane.streams is None:
        why.setdefault("streams", "no --streams was given" if options.streams == 1 else "failed")
    if not lane.layers:
        why["layers"] = "failed" if options.profile else "no --profile was given"
    notes = lane.notes if timing.stable else (*lane.notes, "its times had not settled when the warm-up ended")
    return Measured(
        latency=latency(timing, lane.session, options.batch),
        model=lane.form.model,
        sha256=model_sha256(resolve(lane.form.model)),
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

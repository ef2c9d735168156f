"""What a benchmark found: latency, its parts, memory, power, throughput of streams and AP of each artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgekit.measurement.evaluate import Evaluation
from edgekit.measurement.telemetry.summary_of_run import Telemetry

FORMAT = 1  # of the JSON; fields may be added to it, none renamed or removed


@dataclass(frozen=True)
class CallSplit:
    """Median ms of a call's parts; ``decode_ms`` is None where photos came decoded."""

    decode_ms: float | None
    preprocess_ms: float
    inference_ms: float
    postprocess_ms: float


@dataclass(frozen=True)
class Latency:
    """One artifact's latency in ms a call, from decoded photo to pasted masks, and the model's alone.

    A call takes ``batch`` photos; ``images_per_s`` counts photos over the mean call, with nothing between calls.
    ``warm_up`` calls came before; ``stable`` says whether the times had settled by then.
    """

    artifact: str
    runtime: str
    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    std_ms: float
    images_per_s: float
    inference_p50_ms: float
    split: CallSplit
    runs: int
    warm_up: int
    stable: bool
    objects_per_image: float
    input_size: tuple[int, int]
    batch: int


@dataclass(frozen=True)
class Memory:
    """MB of a process of its own that opened this artifact and ran it: at rest after the calls, and at its peak.

    ``before_mb`` is the process before it opened the artifact and imported its runtime. ``device_mb`` is by how much
    the GPU's free memory fell, None where there is no GPU.
    """

    before_mb: float
    resident_mb: float
    peak_mb: float
    device_mb: float | None


@dataclass(frozen=True)
class Power:
    """Energy and conditions while this artifact alone ran, call after call, for ``seconds``.

    ``rails`` names what the energy is of; it contains what the device draws at rest. ``conditions`` are the means of
    what else was read meanwhile: {"gpu celsius": 54.0, "gpu MHz": 918.0}.
    """

    seconds: float
    images: int
    joules_per_image: float
    mean_watts: float
    rails: tuple[str, ...]
    conditions: Mapping[str, float]


@dataclass(frozen=True)
class Streams:
    """``count`` sessions at once, each in a thread of its own, from decoded photo to pasted masks."""

    count: int
    threads_each: int | None  # of onnxruntime on the CPU
    seconds: float
    images_per_s: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class LayerTime:
    """Nodes of one kind: their ms in one call, how many there are, and their share of all nodes' time."""

    kind: str
    ms: float
    count: float
    share: float


@dataclass(frozen=True)
class Ratio:
    """New over old: 1.1 takes 10% longer. ``differs`` names settings that are not the same."""

    artifact: str
    old_p50_ms: float
    p50_ms: float
    ratio: float
    inference_ratio: float
    differs: tuple[str, ...]


@dataclass(frozen=True)
class ChangeSince:
    """What became of artifacts since an earlier result; ``unknown`` are those that it does not have.

    ``other_machine`` says how the old result's machine differs, and is empty if it does not.
    """

    file: str
    ratios: tuple[Ratio, ...]
    unknown: tuple[str, ...]
    other_machine: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """All that was measured of one artifact; ``not_measured`` says why what is None is None.

    ``model`` is what the user wrote. ``calls_ms`` are the latencies that the percentiles are of, in their order.
    """

    latency: Latency
    model: str
    sha256: str
    precision: str
    calls_ms: tuple[float, ...]
    memory: Memory | None
    power: Power | None
    streams: Streams | None
    accuracy: Evaluation | None
    layers: tuple[LayerTime, ...]
    notes: tuple[str, ...]
    not_measured: Mapping[str, str]


@dataclass(frozen=True)
class Failure:
    """An artifact that could not be measured, or one of the measurements of it that failed: why, and the remedy."""

    artifact: str
    reason: str
    remedy: str


@dataclass(frozen=True)
class Benchmark:
    """A whole run. ``photo_sizes`` counts "HxW".

    ``telemetry`` is of all of it, from the first warm-up call on; ``not_measured`` says what it lacks, and why.
    ``slower`` and ``unjudged`` are what --fail-if-slower found: artifacts that took longer, and those it cannot judge.
    """

    made_by: str = field(default="edgekit", kw_only=True)  # first in the file: it says whose it is
    artifacts: tuple[Measured, ...]
    failed: tuple[Failure, ...]
    photos: int
    photo_sizes: Mapping[str, int]
    settings: Mapping[str, Any]
    machine: Mapping[str, str | int]
    versions: Mapping[str, str]
    telemetry: Telemetry
    not_measured: Mapping[str, str]
    comparison: ChangeSince | None = None
    slower: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()
    format: int = FORMAT

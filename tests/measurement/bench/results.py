"""A benchmark's result without a run, to compare and to render."""

from __future__ import annotations

from typing import Any

from edgekit.measurement.bench.benchmark import (
    Benchmark,
    CallSplit,
    Latency,
    LayerTime,
    Measured,
    Memory,
    Power,
    Streams,
)
from edgekit.measurement.telemetry.source import Missing
from edgekit.measurement.telemetry.summary_of_run import Series, Telemetry

MACHINE = {"cpu": "Cortex-A78AE", "cores": 6, "architecture": "aarch64", "system": "Linux", "python": "3.10.12"}


def latency(artifact: str = "a.onnx", p50_ms: float = 10.0, **other: Any) -> Latency:
    values: dict[str, Any] = {"runtime": "onnxruntime cpu", "p90_ms": 11.0, "p99_ms": 12.0, "mean_ms": 10.2}
    values |= {"std_ms": 0.5, "images_per_s": 98.0, "inference_p50_ms": 9.0, "split": CallSplit(2.0, 0.5, 9.0, 0.5)}
    values |= {"runs": 4, "warm_up": 8, "stable": True, "objects_per_image": 3.0, "input_size": (64, 96), "batch": 1}
    return Latency(artifact, p50_ms=p50_ms, **{**values, **other})


def measured(row: Latency, power: Power | None = None, streams: Streams | None = None) -> Measured:
    return Measured(
        latency=row,
        model=row.artifact,
        sha256="0" * 64,
        precision="fp32",
        calls_ms=(9.0, 10.0, 10.5, 12.0),
        memory=Memory(60.0, 180.0, 190.0, None),
        power=power,
        streams=streams,
        accuracy=None,
        layers=(LayerTime("Conv", 6.0, 73.0, 0.66),),
        notes=(),
        not_measured={"accuracy": "no --data was given"},
    )


def telemetry(*series: Series, missing: tuple[Missing, ...] = ()) -> Telemetry:
    watts = [s for s in series if s.unit == "W"]
    return Telemetry(
        seconds=10.0,
        samples=40,
        measured=tuple(f"{s.source} {s.what}" for s in watts),
        throttled="no",
        throttle_reasons=(),
        settings={"power mode": "15W"},
        series=series,
        missing=missing,
        core_share=0.002,
        began=100.0,
    )


def benchmark(*rows: Measured, seen: Telemetry | None = None, **other: Any) -> Benchmark:
    values: dict[str, Any] = {"failed": (), "photos": 8, "photo_sizes": {"480x640": 8}, "settings": {"runs": 4}}
    values |= {"machine": MACHINE, "versions": {"edgekit": "0.1.0"}, "telemetry": seen or telemetry()}
    values |= {"not_measured": {"power and energy": "jtop: this is not a Jetson"}}
    return Benchmark(artifacts=rows, **{**values, **other})

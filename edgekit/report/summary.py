"""The demo's figures, as ``summary.json`` holds them."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.measurement.bench.result import Latency
from edgekit.measurement.evaluate import Evaluation


@dataclass(frozen=True)
class DemoSummary:
    """The demo's figures. AP in 0..1; ``base`` on base-test, the others on mixed-test, whose old objects
    ``base_on_mixed`` covers."""

    base: Evaluation
    base_on_mixed: Evaluation
    adapted: Evaluation
    naive: Evaluation
    old_detections_changed: int
    old_detections_compared: int
    false_new_per_base_image: float
    naive_false_new_per_base_image: float
    trunk_export_seconds: float  # once a base model
    adapt_seconds: float  # features and training
    torchvision_loop_seconds: float
    epochs: int
    photos: dict[str, int]
    export_seconds: float
    parity_matched: int
    parity_compared: int
    latency: tuple[Latency, ...]
    peak_rss_mb: float
    machine: dict[str, str | int]
    versions: dict[str, str]

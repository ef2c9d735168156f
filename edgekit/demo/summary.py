"""The demo's figures, as ``summary.json`` holds them."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.measurement.bench.benchmark import Latency
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
    epochs: int
    loop_epochs: int  # that torchvision's loop trained
    loop_seconds: float  # that these took
    photos: dict[str, int]
    export_seconds: float
    parity_matched: int
    parity_compared: int
    latency: tuple[Latency, ...]
    peak_rss_mb: float
    machine: dict[str, str | int]
    versions: dict[str, str]

    @property
    def loop_seconds_for_all_epochs(self) -> float:
        """What torchvision's loop would take for as many epochs as edgekit's, extrapolated."""
        return self.loop_seconds * self.epochs / self.loop_epochs

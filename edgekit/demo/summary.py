"""The demo's figures, as ``summary.json`` holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.artifacts.metadata import ModelMeta, tool_versions
from edgekit.comparison.retention import retention
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.detections import Detections
from edgekit.demo.model_set import INT8, LOOP_EPOCHS, ModelSet
from edgekit.measurement.bench.alone import status_mb
from edgekit.measurement.bench.benchmark import Latency
from edgekit.measurement.evaluate import Evaluation, score
from edgekit.measurement.machine.system import machine

CONFIDENT = 0.5  # a detection above this score counts as a false one where there is no such object
Found = Mapping[str, Sequence[Detections]]  # by model, one for each photo


@dataclass(frozen=True)
class DemoSummary:
    """The demo's figures. AP in 0..1; ``base`` on base-test, the others on mixed-test, whose old objects
    ``base_on_mixed`` covers. ``int8`` is the adapted model in 8 bits: its old detections are not counted as changed."""

    base: Evaluation
    base_on_mixed: Evaluation
    adapted: Evaluation
    int8: Evaluation
    naive: Evaluation
    old_detections_changed: int
    old_detections_compared: int
    false_new_per_base_image: float
    int8_false_new_per_base_image: float
    naive_false_new_per_base_image: float
    trunk_export_seconds: float  # once per base model
    adapt_seconds: float  # features and training
    epochs: int
    loop_epochs: int  # that torchvision's loop trained
    loop_seconds: float  # that these took
    photos: dict[str, int]
    export_seconds: float
    int8_export_seconds: float  # calibration included
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


def summarise(
    made: ModelSet,
    sets: Mapping[str, Dataset],
    found: Mapping[str, Found],
    metas: Mapping[str, ModelMeta],
    latency: Sequence[Latency],
) -> DemoSummary:
    """Evaluate what each model ``found`` in the photos of base-test and mixed-test; ``metas`` describe the models."""
    old_labels = len(metas["base"].categories)
    kept = [
        retention(zip(of_set[before], of_set[after], strict=True), old_labels)
        for of_set in found.values()
        for before, after in (("base", "adapted"), ("base.onnx", "adapted.onnx"))
    ]

    def evaluate_on(split: str, name: str) -> Evaluation:
        return score(sets[split], sets[split].photos, found[split][name], metas[name])

    assert made.exported.verification is not None
    agreement = made.exported.verification.parity
    return DemoSummary(
        base=evaluate_on("base-test", "base"),
        base_on_mixed=evaluate_on("mixed-test", "base"),
        adapted=evaluate_on("mixed-test", "adapted"),
        int8=evaluate_on("mixed-test", INT8),
        naive=evaluate_on("mixed-test", "naive"),
        old_detections_changed=sum(k.changed for k in kept),
        old_detections_compared=sum(k.compared for k in kept),
        false_new_per_base_image=_false_new(found["base-test"]["adapted"], old_labels),
        int8_false_new_per_base_image=_false_new(found["base-test"][INT8], old_labels),
        naive_false_new_per_base_image=_false_new(found["base-test"]["naive"], old_labels),
        trunk_export_seconds=made.adaptation.trunk_seconds,
        adapt_seconds=round(made.adaptation.feature_seconds + made.adaptation.training_seconds, 2),
        loop_epochs=LOOP_EPOCHS,
        loop_seconds=round(made.loop_seconds, 2),
        epochs=made.adaptation.settings["epochs"],
        photos={name: len(dataset.photos) for name, dataset in sets.items()},
        export_seconds=made.exported.seconds,
        int8_export_seconds=made.int8.seconds,
        parity_matched=agreement.matched,
        parity_compared=agreement.compared,
        latency=tuple(latency),
        peak_rss_mb=status_mb("VmHWM"),
        machine=machine(),
        versions=tool_versions(),
    )


def _false_new(found: Sequence[Detections], old_labels: int) -> float:
    """Confident detections of new classes per photo, in photos that show none."""
    wrong = [int(((d.labels >= old_labels) & (d.scores > CONFIDENT)).sum()) for d in found]
    return float(np.mean(wrong))

"""The whole adaptation: add classes to a model, measure what became of the old ones, write the result and the proof."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgekit.adaptation.bases import open_base
from edgekit.adaptation.held_out import proposal_recall
from edgekit.adaptation.inputs import read_inputs
from edgekit.adaptation.job import Job
from edgekit.adaptation.processes import processes
from edgekit.adaptation.proof import Proof
from edgekit.adaptation.settings import Settings
from edgekit.adaptation.training import Training
from edgekit.artifacts import default_cache, kind_of, output_folder
from edgekit.deployment.assembly import prepare
from edgekit.errors import EdgekitError
from edgekit.progress import Track, silent

LOW_RECALL = 0.8  # of the RPN, below which advice is given


@dataclass(frozen=True)
class Adaptation:
    """What ``adapt`` made, what it cost, and what became of the earlier classes."""

    output: Path
    base: str
    architecture: str
    classes: tuple[str, ...]
    photos: int  # learned from
    objects: dict[str, int]  # annotated objects by new class, in those
    proposal_recall: dict[str, float]  # share of these that the RPN proposes, by class
    settings: dict[str, Any]
    trunk: str  # what ran it
    trunk_seconds: float  # to export it, or to find it exported
    feature_seconds: float
    training_seconds: float
    proof_seconds: float
    training: Training
    proof: Proof
    advice: tuple[str, ...]
    skipped: tuple[str, ...]


def adapt(
    base: str | Path,
    data: Path,
    images: Path,
    output: Path,
    classes: tuple[str, ...] = (),
    scoring: str = "exact",
    train: str = "predictors",
    init: str = "mean",
    epochs: int = 60,
    lr: float = 3e-3,
    schedule: str = "cosine",
    warm_up: float = 0.05,
    weight_decay: float = 1e-4,
    protect: str = "l2",
    replay: Path | None = None,
    old_objects: str = "background",
    val: Path | float | None = None,
    probe: Path | None = None,
    old_data: Path | None = None,
    max_old_drop: float | None = None,
    base_classes: Path | None = None,
    architecture: str | None = None,
    size: tuple[int, int] | None = None,
    trunk: str = "onnx",
    views: int | None = None,
    cache: Path | None = None,
    cache_gb: float = 10.0,
    seed: int = 0,
    skip_bad_images: bool = False,
    track: Track = silent,
) -> Adaptation:
    """Add the classes annotated in ``data`` to a model and write the larger model to ``output``.

    ``classes`` picks some of the data's classes (default: all that have objects). ``val`` names annotated photos to
    hold out, or the share of the photos (0 to 1) that is. Only predictor rows train, on RoI
    features that the frozen trunk computes once. Afterwards base and adapted model both run on every photo; in exact
    scoring this raises EdgekitError, and writes nothing, if any earlier detection changed. The proof is written beside
    the output as ``*.retention.json``.
    """
    settings = Settings(
        scoring, train, init, epochs, lr, schedule, warm_up, weight_decay, protect, old_objects, views, seed, trunk
    )
    settings.check(max_old_drop, old_data, cache_gb)
    with processes() as ranks:
        source = open_base(base, base_classes, architecture, size)
        if output.suffix != source.suffix:
            raise EdgekitError(
                f"{output}: this adapted model is a {source.suffix} file", "change the name given with -o"
            )
        meta = source.meta
        has_masks = source.predictors.mask_predictor is not None
        inputs = read_inputs(
            data, images, meta.categories, has_masks, classes, val, replay, probe, old_data, seed, skip_bad_images
        )
        output_folder(output.absolute().parent)
        torch.manual_seed(seed)
        job = Job(source, inputs, settings, ranks, track if ranks.first else silent)

        ready = job.prepare(cache or default_cache(), cache_gb)
        recall = proposal_recall(ready.learn[: len(inputs.learn)], job.new_labels)
        extracted = time.monotonic()
        predictors, generation, training = job.learn(ready.learn, ready.held_out)
        trained = time.monotonic()

        def finish() -> Adaptation:
            proof = job.write(base, output, predictors, generation, recall, max_old_drop)
            return Adaptation(
                output=output,
                base=str(base),
                architecture=meta.architecture,
                classes=inputs.classes,
                photos=len(inputs.learn),
                objects=inputs.objects,
                proposal_recall=recall,
                settings=dataclasses.asdict(settings),
                trunk=ready.runtime,
                trunk_seconds=round(ready.trunk_seconds, 2),
                feature_seconds=round(ready.feature_seconds, 2),
                training_seconds=round(trained - extracted, 2),
                proof_seconds=round(time.monotonic() - trained, 2),
                training=training,
                proof=proof,
                advice=_advice(recall, training),
                skipped=inputs.skipped,
            )

        result = finish() if ranks.first else None
        if result is not None and scoring == "exact" and kind_of(output) != "onnx":
            prepare(output, track)
        return ranks.same(result)  # type: ignore[return-value]  # the first process's


def _advice(recall: dict[str, float], training: Training) -> tuple[str, ...]:
    """What the user should know: classes that the RPN misses, a training that failed."""
    advice = [
        f"the frozen RPN proposes only {share:.0%} of the {name} objects: what it misses is never detected; "
        "give a larger --size, or larger objects, or retrain the base model's RPN"
        for name, share in recall.items()
        if share < LOW_RECALL
    ]
    if training.stopped:
        advice.append(f"{training.stopped}; the weights of epoch {training.best_epoch} were kept")
    return tuple(advice)

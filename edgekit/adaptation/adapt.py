"""The whole adaptation: add classes to a model, measure what became of the old ones, write the result and the proof."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.adaptation.bases import open_base
from edgekit.adaptation.inputs import read_inputs
from edgekit.adaptation.job import Job
from edgekit.adaptation.learning.held_out import proposed_objects
from edgekit.adaptation.learning.training import Training
from edgekit.adaptation.proof import Proof
from edgekit.adaptation.settings import Settings
from edgekit.artifacts.model_names import kind_of, proof_of
from edgekit.artifacts.outputs import check_outputs
from edgekit.deployment.assembly.assembling import prepare_export
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import default_cache, output_folder
from edgekit.processes import processes
from edgekit.progress import Say, Track, silent, unsaid

MOST_TOLD = 10  # of what is left out, before training
LOW_RECALL = 0.8  # of the RPN, below which advice is given


@dataclass(frozen=True)
class Adaptation:
    """What ``adapt`` made, what it cost, and what became of the earlier classes."""

    output: Path
    base: str
    architecture: str
    recognised: Mapping[str, str]  # how a base that says nothing of itself was understood
    old_classes: int  # all that the base has, without the background
    classes: tuple[str, ...]
    photos: int  # learned from
    objects: dict[str, int]  # annotated objects by new class, in those
    proposed: dict[str, int]  # how many of these the RPN proposes, by class
    proposal_recall: dict[str, float]  # their share
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
    protect: str = "l2",
    replay: Path | None = None,
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
    force: bool = False,
    track: Track = silent,
    say: Say = unsaid,
) -> Adaptation:
    """Add the classes annotated in ``data`` to a model and write the larger model to ``output``.

    ``classes`` picks some of the data's classes (default: all that have objects). ``val`` names annotated photos to
    hold out, or the share of the photos (0 to 1) that is. Only predictor rows train, on RoI
    features that the frozen trunk computes once. Afterwards base and adapted model both run on every photo; in exact
    scoring this raises EdgekitError, and writes nothing, if any earlier detection changed. The proof is written beside
    the output as ``*.retention.json``, with the SHA-256 of the model that it proves. ``force`` replaces files of these
    names that edgekit did not make. ``say`` is told, before training, what was left out of the data and what the frozen
    RPN proposes.
    """
    settings = Settings(scoring, train, init, epochs, lr, protect, views, seed, trunk)
    settings.check(max_old_drop, old_data, cache_gb)
    read = [base, data, images, val, replay, probe, old_data, base_classes]
    check_outputs([output, proof_of(output)], read, force)
    with processes() as ranks:
        source = open_base(base, base_classes, architecture, size)
        if output.suffix != source.suffix:
            raise EdgekitError(
                f"{output}: this adapted model is a {source.suffix} file", "change the name given with -o"
            )
        meta = source.meta
        has_masks = source.predictors.mask_predictor is not None
        source.check(scoring)
        settings.check_masks(has_masks)
        known = meta.categories
        inputs = read_inputs(
            data, images, known, has_masks, scoring, classes, val, replay, probe, old_data, seed, skip_bad_images
        )
        for line in inputs.skipped[:MOST_TOLD] if ranks.first else ():
            say(f"left out: {line}")
        if ranks.first and len(inputs.skipped) > MOST_TOLD:
            say(f"left out: {len(inputs.skipped)} photos or objects in all; the result lists them")
        output_folder(output.absolute().parent)
        job = Job(source, inputs, settings, ranks, track if ranks.first else silent)

        ready = job.prepare(cache or default_cache(), cache_gb)
        proposed = proposed_objects(ready.learn[: len(inputs.learn)], job.new_labels)
        recall = {name: proposed[name] / count for name, count in inputs.objects.items()}
        if ranks.first:
            counts = ", ".join(f"{proposed[name]} of {count} {name}" for name, count in inputs.objects.items())
            say(f"annotated objects that the frozen RPN proposes: {counts}")
        extracted = time.monotonic()
        predictors, generation, training = job.learn(ready.learn, ready.held_out)
        trained = time.monotonic()

        def finish() -> Adaptation:
            files = {"data": data, "images": images, "val": val, "replay": replay, "probe": probe, "old_data": old_data}
            checked = {"proposed": proposed, "proposal_recall": recall}
            proof = job.write(base, output, predictors, generation, max_old_drop, files=files, **checked)
            seconds = round(time.monotonic() - trained, 2)
            unprepared = _prepare(output, track) if scoring == "exact" and kind_of(output) != "onnx" else ()
            return Adaptation(
                output=output,
                base=str(base),
                architecture=meta.architecture,
                recognised=meta.recognised,
                old_classes=len(known) - 1,
                classes=inputs.classes,
                photos=len(inputs.learn),
                objects=inputs.objects,
                proposed=proposed,
                proposal_recall=recall,
                settings=dataclasses.asdict(settings),
                trunk=ready.runtime,
                trunk_seconds=round(ready.trunk_seconds, 2),
                feature_seconds=round(ready.feature_seconds, 2),
                training_seconds=round(trained - extracted, 2),
                proof_seconds=seconds,
                training=training,
                proof=proof,
                advice=(*_advice(recall, training), *unprepared),
                skipped=inputs.skipped,
            )

        result = ranks.together(lambda: finish() if ranks.first else None)
        return ranks.same(result)  # type: ignore[return-value]  # the first process's


def _prepare(output: Path, track: Track) -> tuple[str, ...]:
    """Prepare the export of the written model, in the cache where ``export`` looks; what is to be said if that fails.

    The model is whole without it.
    """
    try:
        prepare_export(output, track)
    except (EdgekitError, OSError) as error:
        return (f"the model is written, but its export could not be prepared and will take longer: {error}",)
    return ()


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

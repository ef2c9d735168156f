"""The whole adaptation: add classes to a model, measure what became of the old ones, write the result and the proof."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.adaptation.bases import Adaptable, PartsBase, open_base, suited_base
from edgekit.adaptation.features.feature_cache import FeatureStore
from edgekit.adaptation.inputs import ExtraData, read_inputs
from edgekit.adaptation.job import Job
from edgekit.adaptation.learning.held_out import proposed_objects
from edgekit.adaptation.learning.learning_options import Learning
from edgekit.adaptation.learning.training import Training
from edgekit.adaptation.mask_making.boxes_only import MadeMasks
from edgekit.adaptation.proof import Proof
from edgekit.artifacts.input_sizes import LOW_SCALE, choose_input_size, median_share
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.model_names import proof_of
from edgekit.artifacts.outputs import check_outputs
from edgekit.artifacts.pack_files import SUFFIX as PACK
from edgekit.artifacts.pack_files import is_pack, read_packs
from edgekit.data.annotations.dataset import Photo
from edgekit.data.annotations.faults import ReadingOptions
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import output_folder
from edgekit.model.hints import CheckpointHints
from edgekit.model.modules import as_file
from edgekit.processes import processes
from edgekit.progress import Say, Track, silent, unsaid

if TYPE_CHECKING:
    from torchvision.models.detection import FasterRCNN

LOW_RECALL = 0.8  # of the RPN, below which advice is given


@dataclass(frozen=True)
class Adaptation:
    """What ``adapt`` made, what it cost, and what became of the earlier classes."""

    output: Path
    base: str
    architecture: str
    recognised: Mapping[str, str]  # how a base that says nothing of itself was understood
    assumed: tuple[str, ...]  # settings that the base model's weights do not say
    old_classes: int  # all that the base has, without the background
    classes: tuple[str, ...]  # that were taught
    refined: tuple[str, ...]  # of these, those that the base has
    photos: int  # learned from
    objects: dict[str, int]  # annotated objects by new class, in those
    proposed: dict[str, int]  # how many of these the RPN proposes, by class
    made_masks: Mapping[str, MadeMasks]  # of those with a box but no mask, by class; empty where all have masks
    settings: dict[str, Any]
    trunk: str  # what ran it
    trunk_seconds: float  # to export it, or to find it exported
    feature_seconds: float
    training_seconds: float
    proof_seconds: float
    training: Training
    proof: Proof
    advice: tuple[str, ...]
    repaired: dict[str, int]  # what in the annotations, by kind
    skipped: tuple[str, ...]  # photos and objects that were left out


def adapt(
    base: str | Path | FasterRCNN,
    data: str | Path,
    images: str | Path,
    output: str | Path,
    classes: tuple[str, ...] = (),
    packs: Sequence[str | Path] = (),
    learning: Learning = Learning(),
    extra: ExtraData = ExtraData(),
    hints: CheckpointHints = CheckpointHints(),
    store: FeatureStore = FeatureStore(),
    size: tuple[int, int] | None = None,
    improve: tuple[str, ...] = (),
    reading: ReadingOptions = ReadingOptions(),
    force: bool = False,
    track: Track = silent,
    say: Say = unsaid,
) -> Adaptation:
    """Add the classes annotated in ``data`` to a model, and write them to ``output``: a pack, or the larger model.

    ``base`` is a model's file or name, or a torchvision detector that the program has constructed (see ``save``).
    A pack (.pack) holds the new classes alone, and is used beside the base model and the ``packs`` that it was trained
    on top of. ``classes`` picks some of the data's classes (default: all that have objects). Those that the model has,
    among them and in ``improve``, are refined: their new rows are used beside the old ones, which stay as they are.
    Only class weights of the predictors train, on RoI features that the frozen trunk computes once. Afterwards base
    and adapted model both run on every photo; in exact scoring this raises EdgekitError, and writes nothing, if any
    earlier detection changed. The proof is in the pack, or beside the larger model as ``*.retention.json`` with the
    SHA-256 of the model that it proves. ``force`` replaces files of these names that edgekit did not make. ``say`` is
    told, before training, what was repaired in the data or left out and what the frozen RPN proposes.
    """
    data, images, output = Path(data), Path(images), Path(output)
    more = {"val": extra.val, "replay": extra.replay, "probe": extra.probe, "old_data": extra.old_data}
    files = {"data": data, "images": images, **more}
    outputs = [output] if is_pack(output) else [output, proof_of(output)]
    named = str(base) if isinstance(base, str | Path) else type(base).__name__
    with as_file(base, hints) as (model, left), processes() as ranks:
        check_outputs(outputs, [model, *packs, *left.files, *files.values()], force)
        source = open_base(model, read_packs(packs), left, size)
        _check_base(source, model, output, learning)
        has_masks = source.predictors.mask_predictor is not None
        chosen = (classes, improve, source.meta)
        inputs = read_inputs(data, images, *chosen, has_masks, learning, extra, reading)
        if size is None:
            source = suited_base(source, inputs.learn)
        output_folder(output.absolute().parent)
        say, track = (say, track) if ranks.first else (unsaid, silent)
        for line in inputs.faults.lines():
            say(line)
        job = Job(source, inputs, learning, ranks, track)
        return _run(job, output, store, extra.max_old_drop, {"base": named, "files": files}, say)


def _check_base(source: Adaptable, base: str | Path, output: Path, learning: Learning) -> None:
    """Raise if no classes can be added to a base as asked."""
    if is_pack(output) and learning.joint:
        raise EdgekitError(f"{output}: joint scoring changes the old rows too", f"write a {source.suffix} file with -o")
    if not is_pack(output) and output.suffix != source.suffix:
        kinds = PACK if isinstance(source, PartsBase) else f"{PACK} or, the whole model, {source.suffix}"
        raise EdgekitError(f"{output}: not a name for what is written", f"end the name given with -o in {kinds}")
    if isinstance(source, PartsBase) and any(record.name == output.stem for record in source.meta.packs):
        raise EdgekitError(f"{output}: {base} has a pack of this name", "give another name with -o")
    if learning.joint and source.suffix == ".onnx":
        raise EdgekitError(f"{base}: joint scoring needs the checkpoint", "give the checkpoint it was exported from")
    if learning.joint and source.meta.refined_classes:
        raise EdgekitError(
            f"{base}: has the class {source.meta.refined_classes[0]} twice, which one softmax cannot have",
            "use exact scoring, or the base model without what refined the class",
        )
    if learning.train == "mask" and source.predictors.mask_predictor is None:
        raise EdgekitError("--train mask: the base model, a Faster R-CNN, has no masks", "give predictors or last:K")


def _run(
    job: Job, output: Path, store: FeatureStore, max_old_drop: float | None, about: dict[str, Any], say: Say
) -> Adaptation:
    """The steps of a job, timed; ``about`` is what the proof says of what was given."""
    job, features = job.prepare(store)
    meta, inputs, ranks = job.base.meta, job.inputs, job.ranks
    proposed = proposed_objects(features.learn[: len(inputs.learn)], job.new_labels)
    counts = ", ".join(f"{proposed[name]} of {count} {name}" for name, count in inputs.objects.items())
    say(f"annotated objects that the frozen RPN proposes: {counts}")
    for name, masks in inputs.made_masks.items():
        say(f"{name}: {masks.boxes_only} objects have a box but no mask; masks were made for {masks.made}")
    began = time.monotonic()
    predictors, generation, training = job.learn(features.learn, features.held_out)
    trained = time.monotonic()

    def finish() -> Adaptation:
        proof = job.write(output, predictors, generation, max_old_drop, about | {"proposed": proposed})
        proof_seconds = time.monotonic() - trained
        return Adaptation(
            output=output,
            base=about["base"],
            architecture=meta.architecture,
            recognised=meta.recognised,
            assumed=meta.settings.assumed(),
            old_classes=len(meta.categories) - 1,
            classes=inputs.classes,
            refined=inputs.refined,
            photos=len(inputs.learn),
            objects=inputs.objects,
            proposed=proposed,
            made_masks=inputs.made_masks,
            settings=dataclasses.asdict(job.learning),
            trunk=features.runtime,
            trunk_seconds=round(features.trunk_seconds, 2),
            feature_seconds=round(features.feature_seconds, 2),
            training_seconds=round(trained - began, 2),
            proof_seconds=round(proof_seconds, 2),
            training=training,
            proof=proof,
            advice=(*_canvas_advice(inputs.learn, meta), *_advice(proposed, inputs.objects, training)),
            repaired=inputs.faults.repaired(),
            skipped=inputs.faults.left_out(),
        )

    return ranks.same(ranks.together(lambda: finish() if ranks.first else None))  # type: ignore[return-value]


def _advice(proposed: dict[str, int], objects: dict[str, int], training: Training) -> tuple[str, ...]:
    """What the user should know: classes that the RPN misses, a training that failed."""
    advice = [
        f"the frozen RPN proposes only {proposed[name] / count:.0%} of the {name} objects: what it misses is never "
        "detected; give a larger --size, or larger objects, or retrain the base model's RPN"
        for name, count in objects.items()
        if proposed[name] < LOW_RECALL * count
    ]
    if training.stopped:
        advice.append(f"{training.stopped}; the weights of epoch {training.best_epoch} were kept")
    return tuple(advice)


def _canvas_advice(photos: Sequence[Photo], meta: ModelMeta) -> tuple[str, ...]:
    """What the user should know of the input size: that another than the model's own was chosen, or would be better."""
    shapes = [(photo.height, photo.width) for photo in photos]
    choice = choose_input_size(meta.settings, shapes)
    if meta.input_size == choice.size:
        return choice.notes
    share = median_share(meta.settings, meta.input_size, shapes)
    if share >= LOW_SCALE:
        return ()
    (height, width), (better_height, better_width) = meta.input_size, choice.size
    return (
        f"the photos run at {share:.0%} of the scale that the model was trained with, on an input of {height}x{width}: "
        f"{better_height}x{better_width} would suit them (--size, here and in edgekit export)",
    )

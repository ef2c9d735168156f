"""What a base model says of annotated photos: which objects its RPN proposes, what it calls them, what to doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgekit.adaptation.bases import Adaptable
from edgekit.adaptation.features.extraction import PhotoFeatures
from edgekit.adaptation.features.feature_cache import FeatureStore
from edgekit.adaptation.inputs import Inputs
from edgekit.adaptation.job import Job
from edgekit.adaptation.learning.held_out import proposed_objects
from edgekit.adaptation.learning.learning_options import Learning
from edgekit.adaptation.mask_making.boxes_only import MadeMasks
from edgekit.artifacts.class_names import find_alike
from edgekit.checking.class_facts import LISTED, ObjectPlace
from edgekit.checking.first_adaptation import first_adaptation
from edgekit.checking.halves import halves
from edgekit.checking.judging import judge_photo
from edgekit.checking.suspects import JudgedPhoto, Suspect, find_suspects, placer
from edgekit.data.annotations.dataset import Dataset
from edgekit.processes import Processes
from edgekit.progress import Track

PROPOSED_IOU = 0.5
CALLED = 0.5  # the probability from which on the base model is said to call an object something
ENOUGH = 60  # views in all: with so many photos the plain view of each will do


@dataclass(frozen=True)
class BaseFindings:
    """What a base model says of the annotated objects."""

    architecture: str
    input_size: tuple[int, int]
    new_classes: tuple[str, ...]
    alike: str  # a class that is nearly named as one of the base model's, in words
    proposed: dict[str, int]  # annotated objects that the RPN proposes, by class
    missed: tuple[ObjectPlace, ...]  # the largest of those that it does not, at most ``LISTED``
    suspects: tuple[Suspect, ...]  # by kind, the surest first
    unjudged: tuple[str, ...]  # classes that the first adaptation does not know well enough to judge
    called: dict[str, dict[str, int]]  # of each new class, what the base model surely calls how many objects
    made_masks: Mapping[str, MadeMasks]  # for objects that have only a box, by class
    trunk: str  # what ran it


def base_findings(
    base: Adaptable, dataset: Dataset, groups: Sequence[int], store: FeatureStore, seed: int, track: Track
) -> tuple[BaseFindings, Dataset]:
    """Compute every photo's features, as ``adapt`` does, and judge the photos by what was learned on the other half.

    ``groups`` are the numbers of the near-duplicates, which are never in both halves. Also returns the dataset with the
    masks that ``adapt`` would make for objects that have only a box.
    """
    meta, photos = base.meta, dataset.photos
    annotated = {a.category for p in photos for a in p.annotations if not a.iscrowd}
    classes = tuple(name for name in dataset.categories if name in annotated and name not in meta.categories)
    learning = Learning(seed=seed)
    views = min(learning.views_per_photo(len(photos)), max(1, ENOUGH // len(photos)))
    nothing = Dataset(dataset.file, dataset.categories, ())
    inputs = Inputs(classes, {}, photos, nothing, (), [], nothing)
    job = Job(base, inputs, Learning(seed=seed, views=views), Processes(), track)
    job, prepared = job.prepare(store)
    labels = {name: label for label, name in enumerate(meta.categories) if name in annotated} | job.new_labels
    half = halves(photos, groups, classes, seed)
    judged = _judged(base, dataset, prepared.learn, half, labels, seed, track)
    first_new, names = len(meta.categories), {label: name for name, label in labels.items()}
    suspects, unjudged = find_suspects(judged, names, first_new, meta.input_size)
    findings = BaseFindings(
        architecture=meta.architecture,
        input_size=meta.input_size,
        new_classes=classes,
        alike=find_alike(classes, meta.categories),
        proposed=proposed_objects(prepared.learn, labels),
        missed=_missed(judged, names, meta.input_size),
        suspects=suspects,
        unjudged=unjudged,
        called=_called(judged, names, first_new, meta.categories),
        made_masks=job.inputs.made_masks,
        trunk=prepared.runtime,
    )
    return findings, replace(dataset, photos=job.inputs.learn)


def _judged(
    base: Adaptable,
    dataset: Dataset,
    features: Sequence[PhotoFeatures],
    half: Sequence[int],
    labels: dict[str, int],
    seed: int,
    track: Track,
) -> list[JudgedPhoto]:
    """Each photo judged by the base model and, of the classes to add, by what the other half taught."""
    found: list[JudgedPhoto] = []
    old = len(base.meta.categories)
    added = sum(label >= old for label in labels.values())
    for side in (0, 1):
        teaching = [place for place, own in enumerate(half) if own != side]
        taught = {a.category for place in teaching for a in dataset.photos[place].annotations if not a.iscrowd}
        known = frozenset(label for name, label in labels.items() if label < old or name in taught)
        predictors = base.predictors
        if added and teaching:
            predictors = first_adaptation(predictors, [features[place] for place in teaching], added, seed, track)
        for photo, own, one in zip(dataset.photos, half, features, strict=True):
            if own == side:
                found.append(
                    JudgedPhoto(photo, judge_photo(predictors, base.heads, one.load(0), base.meta.input_size), known)
                )
    return found


def _missed(judged: Sequence[JudgedPhoto], names: Mapping[int, str], size: tuple[int, int]) -> tuple[ObjectPlace, ...]:
    """The objects that the RPN does not propose, the largest on the canvas first."""
    missed: list[tuple[float, ObjectPlace]] = []
    for one in judged:
        seen, place = one.judgement, placer(one.photo, size)
        for box, label, overlap in zip(seen.boxes, seen.labels.tolist(), seen.proposed.tolist(), strict=True):
            if overlap < PROPOSED_IOU:
                area = float((box[2:] - box[:2]).prod())
                missed.append((area, ObjectPlace(one.photo.path, names[label], place(box))))
    missed.sort(key=lambda row: (-row[0], str(row[1].photo), row[1].box))
    return tuple(place for _, place in missed[:LISTED])


def _called(
    judged: Sequence[JudgedPhoto], names: Mapping[int, str], first_new: int, categories: Sequence[str]
) -> dict[str, dict[str, int]]:
    """What the base model calls the new classes' objects, the most frequent first."""
    counts: dict[str, Counter[str]] = {name: Counter() for label, name in names.items() if label >= first_new}
    for one in judged:
        seen = one.judgement
        surest, best = seen.probabilities[:, :first_new].max(dim=1)
        for label, surety, old in zip(seen.labels.tolist(), surest.tolist(), best.tolist(), strict=True):
            if label >= first_new and surety >= CALLED:
                counts[names[label]][categories[old]] += 1
    return {name: dict(found.most_common()) for name, found in counts.items() if found}

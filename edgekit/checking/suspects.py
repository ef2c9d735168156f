"""Annotations that a model contradicts: objects that it finds where none is annotated, and objects of other classes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torchvision.ops import box_iou, nms

from edgekit.adaptation.features.rois import covered
from edgekit.checking.class_facts import SMALL_AREA, canvas_scale
from edgekit.checking.judging import Judgement
from edgekit.data.annotations.dataset import Photo

SURE = 0.75  # a score from which on a detection is believed in any case
LEAST = 0.3  # a score below which nothing is, however little a class is known
TIMES = 4  # an object is of another class where that is so many times as probable as its own
NEAR_ZERO = 0.05  # a probability of an object's own class that contradicts it
KNOWN = 0.5  # the middle probability of its own objects from which on a class is known well enough to doubt them
ELSEWHERE = 0.3  # a detection that overlaps annotated objects by less (IoU) shows another object
PART = 0.7  # a detection of which more is inside an annotated object of its class shows a part of it
SAME = 0.5  # two detections that overlap by more (IoU) show one object
MISSING, WRONG, UNLIKELY = "missing label", "wrong label", "unlike its class"
KINDS = (MISSING, WRONG, UNLIKELY)


@dataclass(frozen=True)
class Suspect:
    """A probable fault of the annotations: in which photo, what kind, the box [x, y, w, h] in pixels of the photo.

    ``annotated`` is the class as annotated, "" where nothing is; ``found`` is the class that the model found, "" where
    it found none. ``score`` is how sure the model is that the annotation is wrong, 0 to 1.
    """

    kind: str
    photo: Path
    annotated: str
    found: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class JudgedPhoto:
    """A photo with what a model says of it, which has learned the classes with the labels in ``known``."""

    photo: Photo
    judgement: Judgement
    known: frozenset[int]


def find_suspects(
    judged: Sequence[JudgedPhoto], names: Mapping[int, str], first_new: int, size: tuple[int, int]
) -> tuple[tuple[Suspect, ...], tuple[str, ...]]:
    """The suspects, by kind the surest first, and the classes that the model knows too little to doubt their objects.

    A detection is believed where it scores as high as half of its class's annotated objects, within ``LEAST`` and
    ``SURE``: what was learned from few photos is never sure. ``names`` are the annotated classes by label, those from
    ``first_new`` on learned from these photos.
    """
    own: dict[int, list[float]] = {label: [] for label in names}
    for one in judged:
        for row, label in zip(one.judgement.probabilities, one.judgement.labels.tolist(), strict=True):
            if label in one.known:
                own[label].append(float(row[label]))
    middle = {label: median(values) for label, values in own.items() if values}
    well_known = {label for label, value in middle.items() if value >= KNOWN}
    found: list[Suspect] = []
    for one in judged:
        place = placer(one.photo, size)
        sure = {label: max(LEAST, min(SURE, value)) for label, value in middle.items() if label in one.known}
        found += _missing(one, sure, names, place)
        found += _doubtful(one, sorted(sure), names, first_new, well_known, place)
    ranked = sorted(found, key=lambda s: (KINDS.index(s.kind), -s.score, str(s.photo), s.box))
    return tuple(ranked), tuple(name for label, name in names.items() if label not in well_known)


Placer = Callable[[torch.Tensor], tuple[float, float, float, float]]


def placer(photo: Photo, size: tuple[int, int]) -> Placer:
    """A function from a box [4] xyxy on the canvas to [x, y, w, h] in the photo."""
    x_scale, y_scale = canvas_scale(photo, size)

    def place(box: torch.Tensor) -> tuple[float, float, float, float]:
        x0, y0, x1, y1 = (float(v) for v in box)
        x, y = max(0.0, x0 / x_scale), max(0.0, y0 / y_scale)
        right, bottom = min(photo.width, x1 / x_scale), min(photo.height, y1 / y_scale)
        return round(x, 1), round(y, 1), round(right - x, 1), round(bottom - y, 1)

    return place


def _missing(one: JudgedPhoto, sure: Mapping[int, float], names: Mapping[int, str], place: Placer) -> list[Suspect]:
    """Sure detections where no object is annotated."""
    judged = one.judgement
    least = torch.tensor([sure.get(label, torch.inf) for label in judged.found_labels.tolist()])
    alone = judged.scores >= least
    if len(judged.boxes):
        alone &= box_iou(judged.found, judged.boxes).amax(dim=1) < ELSEWHERE
        same = judged.found_labels[:, None] == judged.labels
        alone &= (covered(judged.found, judged.boxes) * same).amax(dim=1) < PART
    boxes, scores, labels = judged.found[alone], judged.scores[alone], judged.found_labels[alone]
    return [  # of two classes found at one place, the surer
        Suspect(MISSING, one.photo.path, "", names[int(labels[i])], round(float(scores[i]), 3), place(boxes[i]))
        for i in nms(boxes, scores, SAME).tolist()
    ]


def _doubtful(
    one: JudgedPhoto,
    labels: Sequence[int],
    names: Mapping[int, str],
    first_new: int,
    well_known: Collection[int],
    place: Placer,
) -> list[Suspect]:
    """Annotated objects that are surely of another class, or hardly of their own."""
    suspects = []
    judged = one.judgement
    for box, label, row in zip(judged.boxes, judged.labels.tolist(), judged.probabilities, strict=True):
        if label not in one.known:
            continue
        own = float(row[label])
        # A base model calls what it never learned by the name of what it knows: weak evidence against a new class.
        against_base = label < first_new or own < NEAR_ZERO
        others = [other for other in labels if other != label and (other >= first_new or against_base)]
        best = max(others, key=lambda other: float(row[other]), default=None)
        if best is not None and float(row[best]) >= max(LEAST, TIMES * own):
            score = float(row[best]) * (1 - own)
            suspects.append(Suspect(WRONG, one.photo.path, names[label], names[best], round(score, 3), place(box)))
        elif label in well_known and own < NEAR_ZERO and float((box[2:] - box[:2]).prod()) >= SMALL_AREA:
            suspects.append(Suspect(UNLIKELY, one.photo.path, names[label], "", round(1 - own, 3), place(box)))
    return suspects

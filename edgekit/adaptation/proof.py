"""The proof: what became of the earlier classes, measured on real forward passes of both files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.adaptation.bases import Adaptable
from edgekit.adaptation.inputs import Inputs
from edgekit.artifacts.metadata import ModelMeta
from edgekit.comparison.retention import Retention, retention
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.detections import Detections, from_canvas
from edgekit.data.images import fit
from edgekit.errors import EdgekitError
from edgekit.measurement.evaluate import Part, score
from edgekit.model.generations import GenerationalRCNN, MaskFeatures
from edgekit.progress import Track
from edgekit.runtime.selection import one_label
from edgekit.runtime.session import Session, detect
from edgekit.runtime.torch_session import TorchSession, outputs

FORMAT = "edgekit proof 1"
CONFIDENT = 0.5  # the score above which a detection is one that users see
Pair = tuple[Detections, Detections]  # what the model before and the model after find in a photo


@dataclass(frozen=True)
class OldPrecision:
    """The earlier classes' AP on old data, before and after."""

    before: Part
    after: Part
    photos: int

    @property
    def drop(self) -> float:
        """The larger fall of box and mask AP, in 0..1."""
        falls = [self.before.box.AP - self.after.box.AP]
        if self.before.mask and self.after.mask:
            falls.append(self.before.mask.AP - self.after.mask.AP)
        return max(falls)


@dataclass(frozen=True)
class Hidden:
    """How many earlier detections above ``CONFIDENT`` the adapted model hides with ``--overlaps one``, of how many.

    Counted in the held-out photos and those of old data: in photos that were learned from, new classes score higher.
    """

    photos_not_learned_from: int
    detections: int
    hidden: int


@dataclass(frozen=True)
class Proof:
    """What became of the earlier classes, and how good the new ones are.

    ``new`` is the new classes' AP on the held-out photos, None where there are none. All but ``hidden_with_new`` and
    ``hidden_without_new`` (in photos with and without an annotated new object) is about all that the models find.
    """

    retention: Retention
    runtime: str
    trunk_sha256_before: str
    trunk_sha256_after: str
    old: OldPrecision | None
    new: Part | None
    held_out_photos: int
    hidden_with_new: Hidden
    hidden_without_new: Hidden


def prove(base: Adaptable, written: Adaptable, inputs: Inputs, track: Track) -> Proof:
    """Run a base and the adapted model, as it was read back, on all photos that were given."""
    before, after = base.session(), written.session()
    held_out, old = inputs.held_out, inputs.old
    annotated = [*held_out.photos, *old.photos]
    photos = [*annotated, *inputs.learn, *inputs.replay, *inputs.probe]
    kept = len(held_out.photos)
    retained, pairs = compare_old_detections(before, after, photos, len(annotated), track)
    found = [of_after for _, of_after in pairs]
    shows_new = [any(a.category in inputs.classes for a in p.annotations) for p in annotated]

    def hidden(where_new: bool) -> Hidden:
        part = [d for d, new in zip(found, shows_new, strict=True) if new == where_new]
        return count_hidden(part, len(before.meta.categories), after.meta)

    return Proof(
        retention=retained,
        runtime=before.runtime,
        trunk_sha256_before=base.trunk_sha256,
        trunk_sha256_after=written.trunk_sha256,
        old=_old_precision(pairs[kept:], old, before.meta) if old.photos else None,
        new=_new_precision(found[:kept], held_out, inputs.classes, after.meta) if held_out.photos else None,
        held_out_photos=kept,
        hidden_with_new=hidden(True),
        hidden_without_new=hidden(False),
    )


def count_hidden(found: Sequence[Detections], old_labels: int, meta: ModelMeta) -> Hidden:
    """What one label per object hides of labels below ``old_labels`` in photos, one ``Detections`` per photo."""
    old = [(d.labels < old_labels) & (d.scores > CONFIDENT) for d in found]
    hidden = [of_old & ~one_label(d, meta) for of_old, d in zip(old, found, strict=True)]
    return Hidden(len(found), sum(int(o.sum()) for o in old), sum(int(h.sum()) for h in hidden))


def _old_precision(pairs: Sequence[Pair], dataset: Dataset, meta: ModelMeta) -> OldPrecision:
    """The AP on old data of what both models found in its photos; ``meta`` describes the model before."""
    parts = []
    for results in zip(*pairs, strict=True):
        kept = [r.select(r.labels < len(meta.categories)) for r in results]
        result = score(dataset, dataset.photos, kept, meta)
        parts.append(Part(result.box, result.mask))
    return OldPrecision(before=parts[0], after=parts[1], photos=len(dataset.photos))


def _new_precision(found: Sequence[Detections], dataset: Dataset, classes: Sequence[str], meta: ModelMeta) -> Part:
    """The new classes' AP on photos that nothing was learned from, of what the adapted model found in them."""
    only = Dataset(dataset.file, tuple(classes), dataset.photos)
    result = score(only, dataset.photos, found, meta)
    return Part(result.box, result.mask)


def compare_old_detections(
    before: Session, after: Session, photos: Sequence[Any], kept: int, track: Track
) -> tuple[Retention, list[Pair]]:
    """Run both models on photos (anything with ``read()``) and compare the earlier classes' detections; also what they
    find in the first ``kept`` photos.

    In PyTorch the trunk, whose weights have the same hash in both files, runs once per photo; so does its mask head
    where both models have the same boxes. All else runs in each model; the new classes, which nothing is compared with,
    in the kept photos only.
    """
    found: list[Pair] = []

    def pairs() -> Iterator[Pair]:
        for photo in track(photos, "comparing old detections"):
            pair = _detect_both(before, after, photo.read(), len(found) < kept)
            if len(found) < kept:
                found.append(pair)
            yield pair

    return retention(pairs(), len(before.meta.categories)), found


def _detect_both(before: Session, after: Session, photo: np.ndarray, whole: bool) -> Pair:
    if not (isinstance(before, TorchSession) and isinstance(after, TorchSession)):
        return detect(before, photo), detect(after, photo)
    earlier = None if whole else len(before.meta.group_sizes)
    first, second = detect_with_one_trunk({before: None, after: earlier}, photo)
    return first, second


def detect_with_one_trunk(sessions: Mapping[TorchSession, int | None], photo: np.ndarray) -> list[Detections]:
    """What models of one trunk, which runs once, find in a photo: each in so many of its groups of classes, or all."""
    first = next(iter(sessions))
    canvas = fit(photo, first.meta.input_size, first.meta.settings.pad)
    size = canvas.pixels.shape[:2]
    with torch.inference_mode():
        features, proposals = first.module.trunk(torch.tensor(canvas.pixels, device=first.device)[None])
        shared = first.module.box_features(features, proposals, size), _once(first.module, features, size)
    found = (s.module.detect(features, proposals, size, *shared, groups=groups)[0] for s, groups in sessions.items())
    return [from_canvas(canvas, *outputs(values)) for values in found]


def _once(module: GenerationalRCNN, features: dict[str, torch.Tensor], size: tuple[int, int]) -> MaskFeatures:
    """The mask head's output, made once for boxes that are the same to the last bit."""
    known: list[tuple[torch.Tensor, torch.Tensor]] = []

    def mask_features(boxes: list[torch.Tensor]) -> torch.Tensor:
        for same, made in known:
            if torch.equal(same, boxes[0]):
                return made
        known.append((boxes[0], module.mask_features(features, boxes, size)))
        return known[-1][1]

    return mask_features


def check_proof(proof: Proof, scoring: str, output: Path, max_old_drop: float | None) -> None:
    """Raise if the proof fails: anything changed in exact scoring, the trunk changed, or the old AP fell too far."""
    kept = proof.retention
    report = "this breaks edgekit's promise: please report it with `edgekit inspect` of the base model"
    if proof.trunk_sha256_before != proof.trunk_sha256_after:
        raise EdgekitError(f"{output}: the trunk's weights changed; nothing was written", report)
    if scoring == "exact" and kept.changed:
        raise EdgekitError(
            f"{output}: {kept.changed} of {kept.compared} earlier detections changed; nothing was written", report
        )
    if max_old_drop is not None and proof.old is not None and 100 * proof.old.drop > max_old_drop:
        raise EdgekitError(
            f"{output}: the old classes' AP fell by {100 * proof.old.drop:.2f}, more than --max-old-drop "
            f"{max_old_drop:g}; nothing was written",
            "use --scoring exact, a stronger --protect, --replay, or a smaller --lr",
        )

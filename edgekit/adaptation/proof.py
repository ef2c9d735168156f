"""The proof: what became of the earlier classes, measured on real forward passes of both files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.adaptation.bases import Adaptable
from edgekit.adaptation.before_and_after import (
    Hidden,
    OldPrecision,
    Pair,
    RefinedClass,
    count_hidden,
    new_precision,
    old_precision,
    refined_class,
)
from edgekit.adaptation.inputs import Inputs
from edgekit.comparison.retention import Retention, retention
from edgekit.data.detections import Detections, from_canvas
from edgekit.data.images import fit
from edgekit.errors import EdgekitError
from edgekit.measurement.evaluate import Part
from edgekit.model.generations import GenerationalRCNN, MaskFeatures
from edgekit.progress import Track
from edgekit.runtime.session import Session, detect
from edgekit.runtime.torch_session import TorchSession, outputs

FORMAT = "edgekit proof 1"


@dataclass(frozen=True)
class Proof:
    """What became of the earlier classes, and how good the new ones are.

    ``new`` is the new classes' AP on the held-out photos, None where there are none. All but ``refined``,
    ``hidden_with_new`` and ``hidden_without_new`` (in photos with and without an annotated object that was taught) is
    about all that the models find. What is hidden of refined classes is counted in ``refined`` alone.
    """

    retention: Retention
    runtime: str
    trunk_sha256_before: str
    trunk_sha256_after: str
    old: OldPrecision | None
    new: Part | None
    refined: tuple[RefinedClass, ...]
    held_out_photos: int
    hidden_with_new: Hidden
    hidden_without_new: Hidden


def prove(base: Adaptable, written: Adaptable, inputs: Inputs, track: Track) -> Proof:
    """Run a base and the adapted model, as it was read back, on all photos that were given."""
    before, after = base.session(), written.session()
    held_out, old, added = inputs.held_out, inputs.old, inputs.added
    annotated = [*held_out.photos, *old.photos]
    photos = [*annotated, *inputs.learn, *inputs.replay, *inputs.probe]
    kept = len(held_out.photos)
    retained, pairs = compare_old_detections(before, after, photos, len(annotated), track)
    found = [of_after for _, of_after in pairs]
    shows_new = [any(a.category in inputs.classes for a in p.annotations) for p in annotated]
    old_labels = [label for label, name in enumerate(before.meta.categories) if name not in inputs.refined]

    def hidden(where_new: bool) -> Hidden:
        part = [d for d, new in zip(found, shows_new, strict=True) if new == where_new]
        return count_hidden(part, old_labels, after.meta)

    return Proof(
        retention=retained,
        runtime=before.runtime,
        trunk_sha256_before=base.trunk_sha256,
        trunk_sha256_after=written.trunk_sha256,
        old=old_precision(pairs[kept:], old, before.meta) if old.photos else None,
        new=new_precision(found[:kept], held_out, added, after.meta) if held_out.photos and added else None,
        refined=tuple(refined_class(name, pairs, held_out, old, before.meta, after.meta) for name in inputs.refined),
        held_out_photos=kept,
        hidden_with_new=hidden(True),
        hidden_without_new=hidden(False),
    )


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

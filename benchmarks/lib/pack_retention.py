"""What installing and removing packs changes of the base model's detections and of other packs', bit for bit."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import edgekit
from benchmarks.lib.pack_models import IN_PARTS, copied, demo_folder
from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.manifest import read_manifest
from edgekit.artifacts.metadata import ModelMeta
from edgekit.comparison.retention import retention
from edgekit.data.annotations.dataset import Photo
from edgekit.data.detections import Detections, from_canvas
from edgekit.data.images import fit
from edgekit.deployment.folder.installing import install, remove
from edgekit.files.whole_files import sha256
from edgekit.runtime.selection import Selection
from edgekit.runtime.session import Session

ONE, TWO = CLASSES = ("chicken", "frog")
State = tuple[str, ...]  # the packs that there are, in their order
# What a folder goes through: alone, both in either order, after removing one, after removing all.
STATES: tuple[State, ...] = ((), (ONE,), (TWO,), (TWO, ONE), (ONE,), (ONE, TWO), (TWO,), ())
Open = Callable[[State], Session]
Found = list[Detections]


@dataclasses.dataclass(frozen=True)
class Way:
    """What opens a form of the model with packs, how many canvases it runs on at a time, and with which packs."""

    make: Callable[[], Open]
    batch: int = 1
    states: tuple[State, ...] = tuple(dict.fromkeys(STATES))


def ways(work: Path, packs: dict[str, Path]) -> dict[str, Way]:
    """Every form of the embedded model."""
    rows = {
        "PyTorch fp32, batch 1": Way(lambda: pytorch(packs)),
        "PyTorch fp32, batch 4": Way(lambda: pytorch(packs), 4),
        "onnxruntime fp32, whole form, batch 1": Way(lambda: whole(work, packs, 1)),
        "onnxruntime fp32, whole form, batch 4": Way(lambda: whole(work, packs, 4), 4),
    }
    for form in IN_PARTS:
        make = functools.partial(in_parts, work, packs, form)
        rows[f"onnxruntime {form}, in parts"] = Way(make, states=STATES)
    return rows


def pytorch(packs: dict[str, Path]) -> Open:
    """The checkpoint in PyTorch."""
    return lambda state: edgekit.load("demo", Selection(packs=tuple(packs[name] for name in state)))


def whole(work: Path, packs: dict[str, Path], batch: int) -> Open:
    """A graph of base and packs."""

    def opened(state: State) -> Session:
        file, given = work / f"whole-{batch}.onnx", [packs[name] for name in state]
        edgekit.export("demo", file, packs=given, verify=False, shape=GraphShape(batch=batch))
        return edgekit.load(file)

    return opened


def in_parts(work: Path, packs: dict[str, Path], form: str) -> Open:
    """A folder into which packs are installed, and from which they are removed again."""
    folder = copied(demo_folder(work, form), "retention")
    before = files_of(folder)

    def opened(state: State) -> Session:
        there = [pack.name for pack in read_manifest(folder).packs]
        for name in there:
            if name not in state:
                remove(name, folder)
        for name in state:
            if name not in there:
                install(packs[name], folder, force=True)
        assert tuple(pack.name for pack in read_manifest(folder).packs) == state
        assert all(sha256(folder / name) == digest for name, digest in before.items()), "the base model was rewritten"
        return edgekit.load(folder)

    return opened


def files_of(folder: Path) -> dict[str, str]:
    """The base model's files as they are now, with their digests."""
    return {name: sha256(folder / name) for name in read_manifest(folder).files}


def row(way: Way, photos: Sequence[Photo]) -> dict[str, Any]:
    """How many detections of the base model and of each pack differ in any bit from those of it alone."""
    opens = way.make()
    alone: dict[str, Found] = {}
    states = []
    for state in way.states:
        session = opens(state)
        found, meta = detected(session, photos, way.batch), session.meta
        parts = {"base": of_classes(found, meta, meta.generations[0])}
        parts |= {name: of_classes(found, meta, (name,)) for name in state}
        if len(state) <= 1:
            alone.setdefault(*list(parts.items())[-1])  # the first time it is
        states.append((state, {name: changes(alone[name], part) for name, part in parts.items()}))
        session.close()
    seen = [figures for _, parts in states for figures in parts.values()]
    total = {key: sum(figures[key] for figures in seen) for key in ("compared", "changed")}
    return {"runtime": session.runtime, **total, "states": [{"packs": state, **parts} for state, parts in states]}


def detected(session: Session, photos: Sequence[Photo], batch: int) -> Found:
    """What a session finds in photos, ``batch`` at a time."""
    found: Found = []
    for first in range(0, len(photos), batch):
        canvases = [fit(photo.read(), session.meta.input_size) for photo in photos[first : first + batch]]
        outputs = session.infer_batch(np.stack([canvas.pixels for canvas in canvases]))
        found += [from_canvas(canvas, *own) for canvas, own in zip(canvases, outputs, strict=True)]
    return found


def of_classes(found: Found, meta: ModelMeta, names: Sequence[str]) -> Found:
    """The detections of some classes, whose labels are their places in ``names``: a pack's depend on the others."""
    places = np.full(len(meta.categories), -1)
    places[[meta.categories.index(name) for name in names]] = np.arange(len(names))
    chosen = [d.select(places[d.labels] >= 0) for d in found]
    return [dataclasses.replace(d, labels=places[d.labels]) for d in chosen]


def changes(before: Found, after: Found) -> dict[str, int]:
    """How many detections were compared, and how many changed, were lost or were added."""
    seen = retention(zip(before, after, strict=True), 1 + max(int(d.labels.max(initial=0)) for d in [*before, *after]))
    return {"compared": seen.compared, "changed": seen.changed, "lost": seen.lost, "added": seen.added}

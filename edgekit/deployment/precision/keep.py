"""Finds the blocks of a model that must stay in higher precision for its detections to stay what they were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgekit.artifacts.graph_shapes import canvases_of
from edgekit.artifacts.value_names import OUTPUTS
from edgekit.data.detections import box_iou
from edgekit.deployment.edits.layers import blocks
from edgekit.graphs.editing import graph_of
from edgekit.progress import Track, silent
from edgekit.runtime.onnx_session import open_ort

if TYPE_CHECKING:
    import onnx

LEAST_SCORE = 0.3  # a detection below this score counts in neither model
LEAST_IOU = 0.5  # from which two boxes of one class are the same object
RANKED_PHOTOS = 16  # that blocks are ranked on; what that leaves is measured on all
BOUND = 0.015  # the mean difference of detections, in 0..1, that ``find_keep`` accepts
Found = tuple[np.ndarray, ...]  # boxes [D, 4], labels [D], scores [D] and, of a Mask R-CNN, masks [D, m, m]
Build = Callable[[tuple[str, ...]], "onnx.ModelProto"]


@dataclass(frozen=True)
class Search:
    """The blocks to keep, the difference that is left, and how much each block alone costs."""

    kept: tuple[str, ...]
    difference: float
    of_all: float  # with no block kept
    of_block: dict[str, float]  # with only this block in low precision, the most costly first


def find_keep(
    model: onnx.ModelProto,
    build: Build,
    canvases: Sequence[np.ndarray],
    bound: float = BOUND,
    track: Track = silent,
) -> Search:
    """Keep the block that costs most, and the next, until detections differ from ``model``'s by less than ``bound``.

    ``build`` makes the graph in low precision with some blocks kept. Each block's cost is measured alone, with all
    others kept, on some of the ``canvases``, uint8 [1, H, W, 3]. Those that help at once come
    first; in the end those without which the difference stays within the bound are dropped again.
    """
    names = blocks(graph_of(model))
    reference = detections(model, canvases)
    of_all = difference(reference, detections(build(()), canvases))
    if of_all <= bound:
        return Search((), of_all, of_all, {})
    step = max(1, len(canvases) // RANKED_PHOTOS)
    costs = {}
    for name in track(names, "measuring what each block costs"):
        others = tuple(n for n in names if n != name)
        costs[name] = difference(reference[::step], detections(build(others), canvases[::step]))
    ranked = sorted(costs, key=lambda n: -costs[n])
    kept: tuple[str, ...] = ()
    left = of_all
    put_off: tuple[str, ...] = ()  # what alone does not help may help together
    for name in track(ranked[:-1], "choosing what to keep"):
        if left <= bound:
            continue
        with_it = difference(reference, detections(build((*kept, name)), canvases))
        if with_it < left:
            kept, left = (*kept, name), with_it
        else:
            put_off = (*put_off, name)
    for name in put_off:
        if left <= bound:
            break
        kept = (*kept, name)
        left = difference(reference, detections(build(kept), canvases))
    for name in track(kept[::-1], "dropping what need not be kept"):
        fewer = tuple(n for n in kept if n != name)
        without = difference(reference, detections(build(fewer), canvases))
        if without <= bound:
            kept, left = fewer, without
    return Search(kept, left, of_all, {n: costs[n] for n in ranked})


def detections(model: onnx.ModelProto, canvases: Sequence[np.ndarray]) -> list[Found]:
    """What a graph finds in each canvas, run by onnxruntime on the CPU; one for several a run gets it several times."""
    session = open_ort(model.SerializeToString(), provider="cpu")
    given = {o.name for o in session.get_outputs()}
    names = [n for n in OUTPUTS if n in given]
    entry, count = session.get_inputs()[0].name, canvases_of(model)
    inputs = (np.repeat(canvas, count, axis=0) for canvas in canvases)
    return [tuple(o[0] for o in session.run(names, {entry: images})) for images in inputs]


def difference(reference: Sequence[Found], other: Sequence[Found]) -> float:
    """The mean difference of two models' detections of the same canvases: 0 where equal, 1 for one without partner.

    Of a pair it is the mean of their differences in score, in overlap (1 - IoU) and in mask (1 - IoU at 0.5).
    """
    costs: list[float] = []
    for ours, theirs in zip(reference, other, strict=True):
        pairs, alone = _paired(ours, theirs)
        costs += [1.0] * alone
        for a, b in pairs:
            parts = [abs(float(ours[2][a] - theirs[2][b])), 1 - float(box_iou(ours[0][[a]], theirs[0][[b]])[0, 0])]
            if len(ours) > 3:
                parts.append(1 - _mask_iou(ours[3][a] > 0.5, theirs[3][b] > 0.5))
            costs.append(float(np.mean(parts)))
    return float(np.mean(costs)) if costs else 0.0


def _paired(ours: Found, theirs: Found) -> tuple[list[tuple[int, int]], int]:
    """Pairs of detections of the same object, best score first, and how many above the least score have none.

    A partner may score below the bound, so that a score on the border is no difference of 1.
    """
    pairs: list[tuple[int, int]] = []
    alone = 0
    for first, second, swap in ((ours, theirs, False), (theirs, ours, True)):
        overlaps = box_iou(first[0], second[0]) * (first[1][:, None] == second[1][None]) * (second[2] > 0)[None]
        taken: set[int] = set()
        for a in np.flatnonzero(first[2] > LEAST_SCORE):
            free = [b for b in np.argsort(-overlaps[a], kind="stable") if b not in taken and overlaps[a, b] > LEAST_IOU]
            if not free:
                alone += 1
                continue
            taken.add(int(free[0]))
            if not swap:
                pairs.append((int(a), int(free[0])))
    return pairs, alone


def _mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    union = np.logical_or(a, b).sum()
    return float(np.logical_and(a, b).sum() / union) if union else 1.0

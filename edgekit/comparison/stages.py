"""The stage at which two forms of a model begin to differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgekit.artifacts.onnx_files import read_onnx
from edgekit.artifacts.value_names import INNER
from edgekit.comparison.pairing import paired
from edgekit.comparison.parity import parity
from edgekit.comparison.tolerance import MIN_SCORE, Tolerance
from edgekit.data.detections import Detections, box_iou
from edgekit.data.images import graph_input
from edgekit.errors import EdgekitError
from edgekit.runtime.onnx_session import open_ort
from edgekit.runtime.session import Session


class Inner(NamedTuple):
    """What a model computes on the way for one canvas; only rows of real proposals."""

    table: np.ndarray  # [cells, C], the feature pyramid
    proposals: np.ndarray  # [P, 4] xyxy, pixels of the canvas
    box_features: np.ndarray  # [P, F]
    logits: np.ndarray  # [P, classes]


Look = Callable[[np.ndarray], Inner]  # from a canvas, uint8 [H, W, 3]
Arrays = Sequence[tuple[np.ndarray, np.ndarray]]  # the reference's and the other model's, one pair per photo


@dataclass(frozen=True)
class Stage:
    """How far two models differ at one stage; what comes in from the stage before is part of it."""

    stage: str
    measure: str
    difference: float
    tolerance: float
    differs: bool


def compare_stages(
    inner: Sequence[tuple[Inner, Inner]], found: Sequence[tuple[Detections, Detections]], tolerance: Tolerance
) -> list[Stage]:
    """The stages in the order of the flow, each compared over the same photos.

    Inner values that belong to proposals are compared where both models propose the same box, detections' boxes and
    masks where both detect the same object: so the first stage that differs is where the difference arises.
    """
    same = [_same_boxes(a.proposals, b.proposals, tolerance.min_iou) for a, b in inner]
    features = [(a.box_features[i], b.box_features[j]) for (a, b), (i, j) in zip(inner, same, strict=True)]
    logits = [(a.logits[i], b.logits[j]) for (a, b), (i, j) in zip(inner, same, strict=True)]
    boxes, masks = [], []
    for a, b in found:
        i, j, overlaps = paired(a, b, MIN_SCORE)
        area = (a.boxes[i, 2:] - a.boxes[i, :2]).prod(axis=1)
        boxes.append((a.boxes[i] - b.boxes[j]) / np.sqrt(np.maximum(area, 1))[:, None])
        alike = overlaps >= tolerance.min_iou
        masks.append((a.masks[i[alike]], b.masks[j[alike]]))
    proposed = sum(max(len(a.proposals), len(b.proposals)) for a, b in inner)
    proposed_by_one = 1 - sum(len(i) for i, _ in same) / proposed if proposed else 0.0
    seen = parity(found, replace(tolerance, max_mask_difference=np.inf))
    missed = max(1 - seen.matched_share, seen.extra_share)
    rows = [
        ("backbone", "relative difference of the features", _relative([(a.table, b.table) for a, b in inner]), None),
        ("proposals", "share not proposed by both", proposed_by_one, tolerance.proposals),
        ("RoI features", "relative difference of the box head's output", _relative(features), None),
        ("boxes", "relative difference of the logits", _relative(logits), None),
        ("boxes", "difference of the boxes, in their sides", _root_mean_square(boxes), None),
        ("boxes", "share of detections not found by both", missed, 1 - tolerance.least_matched),
        ("masks", "relative difference of the masks", _relative(masks), None),
    ]
    stages = []
    for name, measure, difference, own_bound in rows:
        bound = tolerance.inner if own_bound is None else own_bound
        differs = not difference <= bound + 1e-12  # not a number is a difference too
        stages.append(Stage(name, measure, difference, bound, differs))
    return stages


def look_inside(session: Session, path: Path) -> Look:
    """A function from a canvas to the inner values of a session's model, opened from ``path``.

    Raises EdgekitError where the model does not show them: an engine, or a graph of an earlier edgekit.
    """
    if path.suffix.lower() == ".onnx":
        return _inside_onnx(path)
    module = getattr(session, "module", None)
    if module is None:
        raise EdgekitError(f"{path}: shows no inner values", "compare the ONNX file it was built from")
    return _inside_module(module, session.meta.input_size)


def _inside_onnx(path: Path) -> Look:
    """Run a copy of the graph whose inner values are outputs."""
    graph, meta = read_onnx(path)
    shown = {v.name: v for v in [*graph.graph.value_info, *graph.graph.output]}
    missing = [name for name in INNER if name not in shown]
    if missing:
        raise EdgekitError(f"{path}: has no {', '.join(missing)}", "export it again with this edgekit")
    given = {o.name for o in graph.graph.output}
    graph.graph.output.extend(shown[name] for name in INNER if name not in given)
    run = open_ort(graph.SerializeToString(), provider="cpu", optimised=False)
    return lambda pixels: _inner(*run.run(list(INNER), {"images": graph_input(pixels[None], meta.input_type)}))


def _inside_module(module: object, size: tuple[int, int]) -> Look:
    """Run the static module, whose arithmetic is the graph's, in PyTorch."""
    import torch

    from edgekit.artifacts.graph_shapes import GraphShape
    from edgekit.model.generations import GenerationalRCNN
    from edgekit.static.detector import StaticRCNN

    assert isinstance(module, GenerationalRCNN)
    device = next(module.parameters()).device
    static = StaticRCNN(module, GraphShape(size)).to(device).eval()

    def look(pixels: np.ndarray) -> Inner:
        with torch.inference_mode():
            values = static(torch.tensor(pixels, device=device)[None])[-len(INNER) :]
        return _inner(*(v.cpu().numpy() for v in values))

    return look


def _inner(
    table: np.ndarray, proposals: np.ndarray, proposed: np.ndarray, box_features: np.ndarray, logits: np.ndarray
) -> Inner:
    real = proposed > 0
    return Inner(table, proposals[real].astype(np.float32), box_features[real], logits[real])


def _relative(pairs: Arrays) -> float:
    """The norm of all differences relative to the reference's norm; infinite where shapes differ, 0 without values."""
    if any(a.shape != b.shape for a, b in pairs):
        return float("inf")
    squares = sum(float(np.square(a.astype(np.float64) - b).sum()) for a, b in pairs)
    if squares == 0:
        return 0.0
    total = sum(float(np.square(a.astype(np.float64)).sum()) for a, _ in pairs)
    return float(np.sqrt(squares / total)) if total else float("inf")


def _root_mean_square(parts: Sequence[np.ndarray]) -> float:
    values = np.concatenate([part.astype(np.float64).ravel() for part in parts])
    return float(np.sqrt(np.square(values).mean())) if len(values) else 0.0


def _same_boxes(a: np.ndarray, b: np.ndarray, min_iou: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of boxes [P, 4] that are each other's best at an IoU of at least ``min_iou``, whatever their order."""
    if not len(a) or not len(b):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    overlaps = box_iou(a, b)
    best, back = overlaps.argmax(axis=1), overlaps.argmax(axis=0)
    own = np.arange(len(a))
    mutual = (back[best] == own) & (overlaps[own, best] >= min_iou)
    return own[mutual], best[mutual]

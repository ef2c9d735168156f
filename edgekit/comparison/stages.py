"""At which stage do two forms of a model begin to differ?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgekit.artifacts.onnx_files import read_onnx
from edgekit.artifacts.value_names import IMAGES, INNER
from edgekit.comparison.pairing import box_iou, paired, parity
from edgekit.comparison.tolerance import Tolerance
from edgekit.data.detections import Detections
from edgekit.data.images import graph_input
from edgekit.errors import EdgekitError
from edgekit.runtime.onnx_session import open_ort
from edgekit.runtime.session import Session

MIN_SCORE = 0.3
LOOK = Callable[[np.ndarray], "Inner"]


class Inner(NamedTuple):
    """What a model computes on the way for one canvas; only rows of real proposals."""

    table: np.ndarray  # [cells, C], the feature pyramid
    proposals: np.ndarray  # [P, 4] xyxy, pixels of the canvas
    box_features: np.ndarray  # [P, F]
    logits: np.ndarray  # [P, classes]


@dataclass(frozen=True)
class Stage:
    """How far two models differ at one stage; what comes in from the stage before is part of it."""

    stage: str
    measure: str
    difference: float
    tolerance: float
    differs: bool


def stages(
    inner: Iterable[tuple[Inner, Inner]], found: Iterable[tuple[Detections, Detections]], tolerance: Tolerance
) -> list[Stage]:
    """The stages in the order of the flow, each compared over the same photos.

    Inner values that belong to proposals are compared where both models propose the same box, detections' boxes and
    masks where both detect the same object: so the first stage that differs is where the difference arises.
    """
    table, features, logits, boxes, masks = (_Relative() for _ in range(5))
    proposed = same = 0
    for a, b in inner:
        table.add(a.table, b.table)
        first, second = _same_boxes(a.proposals, b.proposals, tolerance.min_iou)
        proposed, same = proposed + max(len(a.proposals), len(b.proposals)), same + len(first)
        features.add(a.box_features[first], b.box_features[second])
        logits.add(a.logits[first], b.logits[second])
    pairs = list(found)
    for x, y in pairs:
        first, second, overlaps = paired(x, y, MIN_SCORE)
        sides = np.sqrt(np.maximum((x.boxes[first, 2:] - x.boxes[first, :2]).prod(axis=1), 1))[:, None]
        boxes.add(x.boxes[first] / sides, y.boxes[second] / sides, 1.0)
        alike = overlaps >= tolerance.min_iou
        masks.add(x.masks[first[alike]], y.masks[second[alike]])
    seen = parity(pairs, MIN_SCORE, tolerance.min_iou, tolerance.max_score_difference, np.inf)
    rows = [
        ("backbone", "relative difference of the features", table.value, tolerance.inner),
        ("proposals", "share not proposed by both", 1 - same / proposed if proposed else 0.0, tolerance.proposals),
        ("RoI features", "relative difference of the box head's output", features.value, tolerance.inner),
        ("boxes", "relative difference of the logits", logits.value, tolerance.inner),
        ("boxes", "difference of the boxes, in their sides", boxes.value, tolerance.inner),
        (
            "boxes",
            "share of detections not found by both",
            max(1 - seen.matched_share, seen.extra_share),
            1 - tolerance.least_matched,
        ),
        ("masks", "relative difference of the masks", masks.value, tolerance.inner),
    ]
    # Not a number is a difference too.
    return [Stage(name, measure, value, bound, not value <= bound + 1e-12) for name, measure, value, bound in rows]


def look_inside(session: Session, path: Path) -> LOOK:
    """A function from a canvas (uint8 [H, W, 3]) to the inner values of a session's model, opened from ``path``.

    Raises where the model does not show them: an engine, or a graph of an earlier edgekit.
    """
    if path.suffix.lower() == ".onnx":
        return _inside_onnx(path)
    module = getattr(session, "module", None)
    if module is None:
        raise EdgekitError(f"{path}: shows no inner values", "compare the ONNX file it was built from")
    return _inside_module(module, session.meta.input_size)


def _inside_onnx(path: Path) -> LOOK:
    """Run a copy of the graph whose inner values are outputs."""
    graph, meta = read_onnx(path)
    shown = {v.name: v for v in [*graph.graph.value_info, *graph.graph.output]}
    missing = [name for name in INNER if name not in shown]
    if missing:
        raise EdgekitError(f"{path}: has no {', '.join(missing)}", "export it again with this edgekit")
    given = {o.name for o in graph.graph.output}
    graph.graph.output.extend(shown[name] for name in INNER if name not in given)
    run = open_ort(graph.SerializeToString(), provider="cpu", optimised=False)
    return lambda pixels: _inner(*run.run(list(INNER), {IMAGES: graph_input(pixels[None], meta.input_type)}))


def _inside_module(module: object, size: tuple[int, int]) -> LOOK:
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


class _Relative:
    """The norm of a difference relative to the reference's norm, summed over photos."""

    def __init__(self) -> None:
        self.squares, self.total, self.comparable = 0.0, 0.0, True

    def add(self, reference: np.ndarray, other: np.ndarray, scale: float | None = None) -> None:
        """Take one photo's values; with ``scale`` the differences are relative to it, not to the reference."""
        if reference.shape != other.shape:
            self.comparable = False
            return
        a, b = reference.astype(np.float64), other.astype(np.float64)
        self.squares += float(np.square(a - b).sum())
        self.total += a.size * scale**2 if scale is not None else float(np.square(a).sum())

    @property
    def value(self) -> float:
        """0 where there was nothing to compare, infinite where the shapes differ."""
        if not self.comparable:
            return float("inf")
        return float(np.sqrt(self.squares / self.total)) if self.total else 0.0 if not self.squares else float("inf")


def _same_boxes(a: np.ndarray, b: np.ndarray, min_iou: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of boxes [P, 4] that are each other's best at an IoU of at least ``min_iou``, whatever their order."""
    if not len(a) or not len(b):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    overlaps = box_iou(a, b)
    best, back = overlaps.argmax(axis=1), overlaps.argmax(axis=0)
    own = np.arange(len(a))
    mutual = (back[best] == own) & (overlaps[own, best] >= min_iou)
    return own[mutual], best[mutual]

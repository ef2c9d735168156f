"""Names, rows and channels of another framework's tensors as torchvision has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from edgekit.errors import EdgekitError
from edgekit.model.structure.tensor_shapes import (
    ANCHOR_BOXES,
    BOXES,
    CLASSES,
    MASKS,
    OBJECTNESS,
    WHOLE,
    Tensors,
    shape_of,
)

STEM = "backbone.body.conv1.weight"


def count_classes(tensors: Tensors, path: object) -> int:
    """How many classes the predictors' rows stand for, without background; raises where they disagree."""
    classes = _rows(tensors, CLASSES, 2, path) - 1
    boxes = _rows(tensors, BOXES, 2, path)
    if classes < 1 or boxes not in (4, 4 * classes):
        raise EdgekitError(f"{path}: {BOXES}: has {boxes} rows, {CLASSES} {classes + 1}", WHOLE)
    if f"{MASKS}.weight" in tensors:
        masks = _rows(tensors, MASKS, 4, path)
        if masks not in (1, classes):
            raise EdgekitError(f"{path}: {MASKS}: has {masks} rows, {CLASSES} {classes + 1}", WHOLE)
    return classes


def background_first(tensors: Tensors, classes: int) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The predictors with the background's row first, and boxes and masks for every class; with notes of it.

    In the source the background is the last row of class scores and has none of boxes and masks.
    """
    changed, notes = dict(tensors), {"background": "last row -> first row"}
    repeated = []
    for name, rows in ((BOXES, 4), (MASKS, 1)):
        if f"{name}.weight" not in tensors:
            continue
        if tensors[f"{name}.weight"].shape[0] == rows and classes > 1:
            repeated.append("boxes" if name == BOXES else "masks")
        for part in ("weight", "bias"):
            tensor = tensors[f"{name}.{part}"]
            every = tensor if len(tensor) == rows * classes else torch.cat([tensor] * classes)
            changed[f"{name}.{part}"] = torch.cat([torch.zeros_like(every[:rows]), every])
    for part in ("weight", "bias"):
        changed[f"{CLASSES}.{part}"] = tensors[f"{CLASSES}.{part}"].roll(1, 0)
    if repeated:
        notes["class-agnostic"] = f"{' and '.join(repeated)} repeated for each of {classes} classes"
    return changed, notes


def rgb_stem(tensors: Tensors) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The first convolution's weights for RGB instead of BGR, with a note of it."""
    return {**tensors, STEM: tensors[STEM].flip(1).contiguous()}, {"channels": "BGR -> RGB, in the first convolution"}


def rgb_statistics(mean: Any, std: Any, bgr: bool) -> dict[str, tuple[float, ...]]:
    """Settings of mean and std for RGB in 0..1, from those for 0..255 in the order that the weights see."""
    step = -1 if bgr else 1
    return {"mean": tuple(m / 255 for m in mean[::step]), "std": tuple(s / 255 for s in std[::step])}


def ratios_outer(
    tensors: Tensors, sizes: tuple[tuple[float, ...], ...], ratios: tuple[tuple[float, ...], ...]
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The RPN's rows for anchors that go through ratios, then sizes, instead of sizes, then ratios; with notes of it.

    Raises ValueError where levels differ in how many sizes and ratios they have: all share these rows.
    """
    counts = {(len(s), len(r)) for s, r in zip(sizes, ratios, strict=True)}
    if len(counts) > 1:
        raise ValueError("levels have different numbers of sizes or ratios")
    ((per_size, per_ratio),) = counts
    if per_size == 1 or per_ratio == 1:
        return dict(tensors), {}
    order = torch.arange(per_size * per_ratio).reshape(per_size, per_ratio).T.flatten()
    groups = (order[:, None] * 4 + torch.arange(4)).flatten()
    changed = dict(tensors)
    for part in ("weight", "bias"):
        changed[f"{OBJECTNESS}.{part}"] = tensors[f"{OBJECTNESS}.{part}"][order]
        changed[f"{ANCHOR_BOXES}.{part}"] = tensors[f"{ANCHOR_BOXES}.{part}"][groups]
    return changed, {"anchors": "sizes outer, ratios inner -> ratios outer, sizes inner"}


def check_anchors(tensors: Tensors, per_cell: set[int], field: str, path: object) -> None:
    """Raise where the RPN's rows do not fit the anchors that ``field`` says, or that are assumed."""
    rows, boxes = _rows(tensors, OBJECTNESS, 4, path), _rows(tensors, ANCHOR_BOXES, 4, path)
    if per_cell != {rows} or boxes != 4 * rows:
        said = ", ".join(map(str, sorted(per_cell)))
        raise EdgekitError(
            f"{path}: {field}: means {said} anchors per cell, the weights have {rows} and {boxes} rows of their boxes",
            "give the config that these weights were trained with",
        )


def names_by_rules(
    tensors: Tensors, rules: Mapping[str, str], ignored: str, remedy: str, path: object
) -> dict[str, str | None]:
    """Each tensor's name by the first rule (a pattern of whole names) that fits; None where ``ignored`` fits.

    Raises where no rule does.
    """
    names: dict[str, str | None] = {}
    for name in tensors:
        if re.fullmatch(ignored, name):
            names[name] = None
            continue
        rule = next((rule for rule in rules if re.fullmatch(rule, name)), None)
        if rule is None:
            raise EdgekitError(f"{path}: {name}: is not part of a model that edgekit reads", remedy)
        names[name] = re.sub(rule, rules[rule], name)
    return names


def renamed_tensors(tensors: Tensors, names: Mapping[str, str | None], path: object) -> dict[str, torch.Tensor]:
    """The tensors by their new names, in float32; None leaves one out. Raises where values are not floating point."""
    changed = {}
    for name, tensor in tensors.items():
        new = names[name]
        if new is None:
            continue
        if not tensor.is_floating_point():
            raise EdgekitError(f"{path}: {name}: has the type {tensor.dtype}", "give weights in floating point")
        changed[new] = tensor.detach().float()
    return changed


def _rows(tensors: Tensors, name: str, dimensions: int, path: object) -> int:
    """How many rows a layer's weight has; raises where its bias has another number."""
    rows = shape_of(tensors, f"{name}.weight", dimensions, path)[0]
    if shape_of(tensors, f"{name}.bias", 1, path) != (rows,):
        raise EdgekitError(f"{path}: {name}.bias: has another number of rows than the weight", WHOLE)
    return rows

"""The settings of a detector that torchvision's state dict tells, the rest assumed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit.artifacts.detector_settings import ASSUMED, DetectorSettings
from edgekit.errors import EdgekitError
from edgekit.model.structure.tensor_shapes import OBJECTNESS, SUPPORTED, Tensors, settings_from_shapes, shape_of

# torchvision's names of before 0.13 for what has another name since.
OLD_NAMES = (
    (r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1"),
    (r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$", r"\1.0.\2"),
)
OLD_MASK_HEAD = re.compile(r"^roi_heads\.mask_head\.mask_fcn(\d)\.(weight|bias)$")
SIDES = (32.0, 64.0, 128.0, 256.0, 512.0)
RATIOS = (0.5, 1.0, 2.0)


def shape_settings(tensors: Tensors, path: Path, given: Mapping[str, Any]) -> DetectorSettings:
    """The settings of the detector that has these tensors; what they do not say is torchvision's default, assumed.

    ``given`` is what the user says of it, not checked yet: the anchors that the tensors do not tell.
    """
    tensors = {_current(name): tensor for name, tensor in tensors.items()}
    if "backbone.fpn.inner_blocks.0.0.weight" not in tensors:
        raise EdgekitError(f"{path}: seems to be a torchvision R-CNN without an FPN", SUPPORTED)
    values = settings_from_shapes(tensors, path)
    anchors = _anchors(tensors, values, given, path)
    defaults = DetectorSettings().values()
    known = DetectorSettings().changed({**defaults, **values, **anchors}, f"{ASSUMED}: torchvision's default")
    return known.read_from_weights(values)


def _anchors(tensors: Tensors, values: Mapping[str, Any], given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The anchors of a detector, assumed by their number; what is ``given`` comes first."""
    told = {name: given[name] for name in ("anchor_sizes", "anchor_ratios", "extra_level") if name in given}
    levels = len(values["levels"]) + (told.get("extra_level") != "none")
    count = shape_of(tensors, f"{OBJECTNESS}.weight", 4, path)[0]
    assumed: dict[str, Any]
    if (levels, count) == (len(SIDES), len(RATIOS)):
        assumed = {"anchor_sizes": [[side] for side in SIDES], "anchor_ratios": [RATIOS] * levels}
    elif values["body"].startswith("mobilenet") and count == len(SIDES) * len(RATIOS):
        assumed = {"anchor_sizes": [SIDES] * levels, "anchor_ratios": [RATIOS] * levels}
    elif "anchor_sizes" in told and "anchor_ratios" in told:
        assumed = {}
    else:
        raise EdgekitError(
            f"{path}: has {count} anchors per cell on {levels} levels, and its weights do not say of which sizes",
            "give anchor_sizes and anchor_ratios (and extra_level: none, if none is pooled) with --settings FILE",
        )
    return assumed | told


def _current(name: str) -> str:
    """The name that torchvision has for a tensor since 0.13."""
    for old, new in OLD_NAMES:
        name = re.sub(old, new, name)
    if found := OLD_MASK_HEAD.match(name):
        name = f"roi_heads.mask_head.{int(found[1]) - 1}.0.{found[2]}"
    return name

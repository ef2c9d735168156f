"""The settings of a detector as far as the names and shapes of its tensors tell them, in torchvision's layout."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from edgekit.artifacts.detector_settings import ASSUMED, RESNET, DetectorSettings
from edgekit.errors import EdgekitError
from edgekit.model.bodies import MOBILE, mobile_channels, mobile_named

Tensors = Mapping[str, torch.Tensor]
Shapes = Mapping[str, tuple[int, ...]]
SUPPORTED = f"edgekit builds torchvision's R-CNNs with an FPN on a ResNet, ResNeXt, Wide ResNet or {', '.join(MOBILE)}"
# The depth of a ResNet, by its blocks and whether they are bottlenecks.
DEPTHS: dict[tuple[tuple[int, ...], bool], int] = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}
# torchvision's names of before 0.13 for what has another name since.
OLD_NAMES = (
    (r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1"),
    (r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$", r"\1.0.\2"),
)
SIDES = (32.0, 64.0, 128.0, 256.0, 512.0)
RATIOS = (0.5, 1.0, 2.0)


def shape_settings(tensors: Tensors, path: Path, given: Mapping[str, Any]) -> DetectorSettings:
    """The settings of the detector that has these tensors; what they do not say is torchvision's default, assumed.

    ``given`` is what the user says of it, not checked yet: the anchors that the tensors do not tell.
    """
    shapes = {_current(name): tuple(tensor.shape) for name, tensor in tensors.items()}
    if "backbone.fpn.inner_blocks.0.0.weight" not in shapes:
        raise EdgekitError(f"{path}: seems to be a torchvision R-CNN without an FPN", SUPPORTED)
    values = {**_body(shapes, path), **_heads(shapes)}
    anchors = _anchors(shapes, values, given, path)
    defaults = DetectorSettings().values()
    known = DetectorSettings().changed({**defaults, **values, **anchors}, f"{ASSUMED}: torchvision's default")
    return known.read_from_weights(values)


def _anchors(shapes: Shapes, values: Mapping[str, Any], given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The anchors of a detector, assumed by their number; what is ``given`` comes first."""
    told = {name: given[name] for name in ("anchor_sizes", "anchor_ratios", "extra_level") if name in given}
    levels = len(values["levels"]) + (told.get("extra_level") != "none")
    count = shapes.get("rpn.head.cls_logits.weight", (0,))[0]
    assumed: dict[str, Any]
    if (levels, count) == (len(SIDES), len(RATIOS)):
        assumed = {"anchor_sizes": [[side] for side in SIDES], "anchor_ratios": [RATIOS] * levels}
    elif values["body"] in MOBILE and count == len(SIDES) * len(RATIOS):
        assumed = {"anchor_sizes": [SIDES] * levels, "anchor_ratios": [RATIOS] * levels}
    elif "anchor_sizes" in told and "anchor_ratios" in told:
        assumed = {}
    else:
        raise EdgekitError(
            f"{path}: has {count} anchors per cell on {levels} levels, and its weights do not say of which sizes",
            "give anchor_sizes and anchor_ratios (and extra_level: none, if none is pooled) with --settings FILE",
        )
    return assumed | told


def label(settings: DetectorSettings) -> str:
    """A name in the manner of torchvision's."""
    detector = "maskrcnn" if settings.masks else "fasterrcnn"
    version = "_v2" if settings.fpn_norms else ""
    return f"{detector}_{_body_label(settings)}_fpn{version}"


def _current(name: str) -> str:
    for old, new in OLD_NAMES:
        name = re.sub(old, new, name)
    return name


def _body(shapes: Shapes, path: Path) -> dict[str, Any]:
    prefix = "backbone.body."
    own = {n.removeprefix(prefix): s for n, s in shapes.items() if n.startswith(prefix)}
    taken: list[int] = []
    while (shape := shapes.get(f"backbone.fpn.inner_blocks.{len(taken)}.0.weight")) is not None:
        taken.append(shape[1])
    if "layer1.0.conv1.weight" in own:
        found = _resnet(own)
        channels = {f"layer{i}": count for i, count in enumerate(found["stage_channels"], start=1)}
    elif (name := mobile_named(own)) is not None:
        found, channels = {"body": name}, mobile_channels(name)
    else:
        first = next((n for n in own), "none")
        raise EdgekitError(f"{path}: has a backbone that edgekit does not build (its first tensor: {first})", SUPPORTED)
    levels = _levels(channels, taken)
    if levels is None:
        raise EdgekitError(f"{path}: its FPN takes {taken} channels, which no layers of its body give", SUPPORTED)
    return {
        **found,
        "levels": levels,
        "fpn_channels": shapes["backbone.fpn.inner_blocks.0.0.weight"][0],
        "fpn_norms": "backbone.fpn.inner_blocks.0.1.weight" in shapes,
    }


def _resnet(own: Shapes) -> dict[str, Any]:
    blocks: list[int] = []
    while count := len({m[1] for n in own if (m := re.match(rf"layer{len(blocks) + 1}\.(\d+)\.", n))}):
        blocks.append(count)
    bottleneck = "layer1.0.conv3.weight" in own
    middle = [own[f"layer{i}.0.conv2.weight"] for i in range(1, len(blocks) + 1)]
    last = [own[f"layer{i}.0.conv3.weight"] for i in range(1, len(blocks) + 1)] if bottleneck else middle
    return {
        "body": RESNET,
        "blocks": blocks,
        "bottleneck": bottleneck,
        "stem_channels": own["conv1.weight"][0],
        "stage_channels": [shape[0] for shape in last],
        "block_channels": [shape[0] for shape in middle],
        "groups": middle[0][0] // middle[0][1],
    }


def _levels(channels: Mapping[str, int], taken: list[int]) -> list[str] | None:
    """The last layers of a body with as many channels as an FPN takes of each, in the body's order."""
    found: list[str] = []
    names = list(channels)
    for count in reversed(taken):
        names = names[: names.index(found[-1])] if found else names
        fitting = [name for name in names if channels[name] == count]
        if not fitting:
            return None
        found.append(fitting[-1])
    return found[::-1]


def _heads(shapes: Shapes) -> dict[str, Any]:
    head = "roi_heads.box_head."
    convs = _column(shapes, head + "{}.0.weight")
    first = shapes.get(f"{head}fc6.weight") or shapes.get(f"{head}{len(convs) + 1}.weight")
    channels = (convs or [shapes["backbone.fpn.inner_blocks.0.0.weight"][0]])[-1]
    found: dict[str, Any] = {
        "rpn_convs": len(_column(shapes, "rpn.head.conv.{}.0.weight")) or 1,
        "box_convs": convs,
        "box_features": shapes["roi_heads.box_predictor.cls_score.weight"][1],
        "masks": any(n.startswith("roi_heads.mask_predictor.") for n in shapes),
    }
    if first is not None:
        found["box_bins"] = round((first[1] / channels) ** 0.5)
    if found["masks"]:
        mask = "roi_heads.mask_head."
        old = _column(shapes, mask + "mask_fcn{}.weight", 1)
        found["mask_convs"] = _column(shapes, mask + "{}.0.weight") or old or [256] * 4
        found["mask_norms"] = f"{mask}0.1.weight" in shapes
        found["mask_hidden"] = shapes.get("roi_heads.mask_predictor.conv5_mask.weight", (0, 256))[1]
    return found


def _column(shapes: Shapes, pattern: str, start: int = 0) -> list[int]:
    """The first dimensions of tensors whose names count up."""
    found: list[int] = []
    while (shape := shapes.get(pattern.format(start + len(found)))) is not None:
        found.append(shape[0])
    return found


def _body_label(settings: DetectorSettings) -> str:
    if settings.body != RESNET:
        return settings.body
    depth = DEPTHS.get((settings.blocks, settings.bottleneck))
    name = str(depth) if depth else "".join(f"_{n}" for n in settings.blocks)
    width = settings.block_channels[0] / settings.groups
    if settings.groups > 1:
        return f"resnext{name}_{settings.groups}x{width:g}d"
    usual = settings.stage_channels[0] / 4 if settings.bottleneck else settings.stage_channels[0]
    return f"wide_resnet{name}_{width / usual:g}" if width > usual else f"resnet{name}"

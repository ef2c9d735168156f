"""What the shapes of a detector's tensors, by torchvision's names, say of how it is built."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch

from edgekit.artifacts.detector_settings import RESNET
from edgekit.errors import EdgekitError
from edgekit.model.structure.bodies import BODIES, body_channels, body_named

Tensors = Mapping[str, torch.Tensor]
WHOLE = "give the whole checkpoint of a Mask R-CNN or Faster R-CNN with an FPN"
SUPPORTED = f"edgekit builds R-CNNs with an FPN on {BODIES}"
_BODY, _FPN, _BOX_HEAD, _MASK_HEAD = "backbone.body", "backbone.fpn", "roi_heads.box_head", "roi_heads.mask_head"
CLASSES, BOXES = "roi_heads.box_predictor.cls_score", "roi_heads.box_predictor.bbox_pred"
MASKS, MASK_HIDDEN = "roi_heads.mask_predictor.mask_fcn_logits", "roi_heads.mask_predictor.conv5_mask"
OBJECTNESS, ANCHOR_BOXES = "rpn.head.cls_logits", "rpn.head.bbox_pred"


def shape_of(tensors: Tensors, name: str, dimensions: int, path: object) -> tuple[int, ...]:
    """A tensor's shape; raises where it is not there or has another number of dimensions."""
    if name not in tensors:
        raise EdgekitError(f"{path}: {name}: is not there", WHOLE)
    shape = tuple(tensors[name].shape)
    if len(shape) != dimensions or 0 in shape:
        raise EdgekitError(f"{path}: {name}: has the shape {list(shape)}, not {dimensions} dimensions", WHOLE)
    return shape


def settings_from_shapes(tensors: Tensors, path: object) -> dict[str, Any]:
    """The settings that shapes say, by name; the rows of predictors may have any order.

    Raises EdgekitError, which names the tensor, for a detector that edgekit does not build.
    """
    _check_norms(tensors, path)
    body, channels = _body(tensors, path)
    return {
        **body,
        **_neck(tensors, channels, path),
        **_box_head(tensors, path),
        **_mask_head(tensors, path),
    }


def _check_norms(tensors: Tensors, path: object) -> None:
    """Raise where a norm lacks the statistics of a batch norm."""
    for name in tensors:
        beside = re.fullmatch(r"(.*(?:\.bn\d|\bbn1|downsample\.1|(?:blocks|head)\.\d+\.1))\.weight", name)
        if beside and not {f"{beside[1]}.{part}" for part in ("bias", "running_mean", "running_var")} <= tensors.keys():
            raise EdgekitError(
                f"{path}: {name}: is a norm without running_mean and running_var, such as GroupNorm",
                "edgekit reads models with batch norms (BN, FrozenBN, SyncBN)",
            )


def _count(tensors: Tensors, prefix: str, rest: str, path: object) -> int:
    """How many layers there are below a prefix; raises where their numbers are not 0, 1, 2, ..."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)" + rest)
    found = sorted({int(match[1]) for name in tensors if (match := pattern.match(name))})
    if found != list(range(len(found))):
        raise EdgekitError(f"{path}: {prefix}: has the layers {found}, with gaps", WHOLE)
    return len(found)


def _body(tensors: Tensors, path: object) -> tuple[dict[str, Any], dict[str, int]]:
    """The body's settings, and how many channels each of its layers gives."""
    if any(name.startswith(f"{_BODY}.layer1.") for name in tensors):
        found = _resnet(tensors, path)
        return found, {f"layer{i}": count for i, count in enumerate(found["stage_channels"], start=1)}
    own = {n.removeprefix(f"{_BODY}."): tuple(t.shape) for n, t in tensors.items() if n.startswith(f"{_BODY}.")}
    name = body_named(own)
    if name is None:
        first = next(iter(own), "none")
        raise EdgekitError(f"{path}: has a backbone that edgekit does not build (its first tensor: {first})", SUPPORTED)
    return {"body": name}, body_channels(name)


def _resnet(tensors: Tensors, path: object) -> dict[str, Any]:
    stem = shape_of(tensors, f"{_BODY}.conv1.weight", 4, path)
    if stem[1:] != (3, 7, 7):
        raise EdgekitError(
            f"{path}: {_BODY}.conv1.weight: has the shape {list(stem)}",
            "edgekit reads ResNets whose stem is one 7x7 convolution of RGB",
        )
    blocks: list[int] = []
    while count := _count(tensors, f"{_BODY}.layer{len(blocks) + 1}", r"\.conv1\.weight$", path):
        blocks.append(count)
    bottleneck = f"{_BODY}.layer1.0.conv3.weight" in tensors
    outs, widths, groups = [], [], set()
    for stage in range(1, len(blocks) + 1):
        first = f"{_BODY}.layer{stage}.0"
        into = shape_of(tensors, f"{first}.conv1.weight", 4, path)[0]
        spatial = shape_of(tensors, f"{first}.conv2.weight", 4, path)
        groups.add(into // spatial[1])
        widths.append(spatial[0])
        outs.append(shape_of(tensors, f"{first}.conv{3 if bottleneck else 2}.weight", 4, path)[0])
    if len(groups) != 1 or 0 in groups:
        raise EdgekitError(f"{path}: {_BODY}: has {sorted(groups)} groups", "edgekit reads one number of groups")
    return {
        "body": RESNET,
        "blocks": tuple(blocks),
        "bottleneck": bottleneck,
        "stem_channels": stem[0],
        "stage_channels": tuple(outs),
        "block_channels": tuple(widths),
        "groups": groups.pop(),
    }


def _neck(tensors: Tensors, given: Mapping[str, int], path: object) -> dict[str, Any]:
    """The FPN over a body whose layers have the channels ``given``, and the RPN's convolutions."""
    count = _count(tensors, f"{_FPN}.inner_blocks", r"\.0\.weight$", path)
    taken = [shape_of(tensors, f"{_FPN}.inner_blocks.{i}.0.weight", 4, path)[1] for i in range(count)]
    levels = _levels(given, taken)
    if not levels:
        raise EdgekitError(f"{path}: its FPN takes {taken} channels, which no layers of its body give", SUPPORTED)
    channels = shape_of(tensors, f"{_FPN}.layer_blocks.0.0.weight", 4, path)[0]
    convs = _count(tensors, "rpn.head.conv", r"\.0\.weight$", path)
    for conv in range(max(convs, 1)):
        shape = shape_of(tensors, f"rpn.head.conv.{conv}.0.weight", 4, path)
        if shape != (channels, channels, 3, 3):
            raise EdgekitError(
                f"{path}: rpn.head.conv.{conv}: has the shape {list(shape)}, the FPN {channels} channels",
                "edgekit reads 3x3 convolutions of as many channels as the FPN's in an RPN",
            )
    norms = {f"{_FPN}.{kind}_blocks.{i}.1.weight" in tensors for kind in ("inner", "layer") for i in range(count)}
    if len(norms) > 1:
        raise EdgekitError(f"{path}: {_FPN}: has norms in some of its layers", "edgekit reads norms in all or in none")
    return {"levels": levels, "fpn_channels": channels, "fpn_norms": norms.pop(), "rpn_convs": convs}


def _levels(channels: Mapping[str, int], taken: list[int]) -> tuple[str, ...]:
    """The last layers of a body with as many channels as an FPN takes of each, in the body's order, if there are."""
    found: list[str] = []
    names = list(channels)
    for count in reversed(taken):
        fitting = [name for name in names if channels[name] == count]
        if not fitting:
            return ()
        found.append(fitting[-1])
        names = names[: names.index(fitting[-1])]
    return tuple(reversed(found))


def _box_head(tensors: Tensors, path: object) -> dict[str, Any]:
    channels = shape_of(tensors, f"{_FPN}.layer_blocks.0.0.weight", 4, path)[0]
    convs, norms = _convolutions(tensors, _BOX_HEAD, path)
    names = [str(len(convs) + 1)] if convs else ["fc6", "fc7"]
    first, *second = products = [f"{_BOX_HEAD}.{name}.weight" for name in names]
    found = [n for n, t in tensors.items() if n.startswith(f"{_BOX_HEAD}.") and t.ndim == 2]
    if set(found) != set(products):
        raise EdgekitError(
            f"{path}: {_BOX_HEAD}: has {len(convs)} convolutions and {len(found)} products",
            "edgekit reads two products, or one behind convolutions",
        )
    features, columns = shape_of(tensors, first, 2, path)
    if second and shape_of(tensors, second[0], 2, path) != (features, features):
        raise EdgekitError(f"{path}: {_BOX_HEAD}: has products of two widths", "edgekit reads two of one width")
    channels = convs[-1] if convs else channels
    bins = math.isqrt(columns // channels)
    if channels * bins**2 != columns:
        raise EdgekitError(
            f"{path}: {first}: has {columns} columns, no square of bins of {channels} channels",
            "edgekit reads square RoI pooling",
        )
    return {"box_convs": convs, "box_norms": norms, "box_features": features, "box_bins": bins}


def _mask_head(tensors: Tensors, path: object) -> dict[str, Any]:
    if not any(name.startswith((_MASK_HEAD, MASKS, MASK_HIDDEN)) for name in tensors):
        return {"masks": False}
    convs, norms = _convolutions(tensors, _MASK_HEAD, path)
    if not convs:
        raise EdgekitError(f"{path}: {_MASK_HEAD}: has no convolutions", "edgekit reads one or more")
    hidden = shape_of(tensors, f"{MASK_HIDDEN}.weight", 4, path)
    shape_of(tensors, f"{MASKS}.weight", 4, path)
    if hidden[2:] != (2, 2):
        raise EdgekitError(f"{path}: {MASK_HIDDEN}: has a kernel of {list(hidden[2:])}", "edgekit reads 2x2 ones")
    return {"masks": True, "mask_convs": convs, "mask_norms": norms, "mask_hidden": hidden[1]}


def _convolutions(tensors: Tensors, head: str, path: object) -> tuple[tuple[int, ...], bool]:
    """The channels that each convolution of a head gives, and whether a batch norm follows each."""
    count = _count(tensors, head, r"\.0\.weight$", path)
    convs = tuple(shape_of(tensors, f"{head}.{i}.0.weight", 4, path)[0] for i in range(count))
    norms = {f"{head}.{i}.1.weight" in tensors for i in range(count)} or {False}
    if len(norms) > 1:
        raise EdgekitError(f"{path}: {head}: has norms in some of {count} convolutions", "edgekit reads all or none")
    return convs, norms.pop()

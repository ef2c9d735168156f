"""What the shapes of a detector's tensors, by torchvision's names, say of how it is built."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch

from edgekit.errors import EdgekitError

Tensors = Mapping[str, torch.Tensor]
WHOLE = "give the whole checkpoint of a Mask R-CNN or Faster R-CNN with a ResNet and FPN"
_BODY, _FPN, _BOX_HEAD, _MASK_HEAD = "backbone.body", "backbone.fpn", "roi_heads.box_head", "roi_heads.mask_head"
CLASSES, BOXES = "roi_heads.box_predictor.cls_score", "roi_heads.box_predictor.bbox_pred"
# The blocks of each stage, and whether they are bottlenecks, by depth.
DEPTHS: dict[int, tuple[tuple[int, ...], bool]] = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}
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
    """The settings that shapes say, by name; ``tensors`` have torchvision's names, the rows of predictors any order."""
    return {**_body(tensors, path), **_neck(tensors, path), **_box_head(tensors, path), **_mask_head(tensors, path)}


def check_norms(tensors: Tensors, path: object) -> None:
    """Raise where a norm lacks its statistics: no batch norm, or one of Caffe2's files."""
    for name in tensors:
        beside = re.fullmatch(r"(.*(?:\.bn\d|\bbn1|downsample\.1|(?:blocks|head)\.\d+\.1))\.weight", name)
        if beside and not {f"{beside[1]}.{part}" for part in ("bias", "running_mean", "running_var")} <= tensors.keys():
            raise EdgekitError(
                f"{path}: {name}: is a norm without running_mean and running_var, as GroupNorm and Caffe2's files have",
                "edgekit reads batch norms; of Detectron2 give the zoo's model_final_*.pkl",
            )


def _indices(tensors: Tensors, pattern: str) -> list[int]:
    """The numbers that a pattern's group finds in names, in order; they have to be 0, 1, 2, ..."""
    return sorted({int(found[1]) for name in tensors if (found := re.match(pattern, name))})


def _count(tensors: Tensors, prefix: str, rest: str, path: object) -> int:
    found = _indices(tensors, re.escape(prefix) + r"\.(\d+)" + rest)
    if found != list(range(len(found))):
        raise EdgekitError(f"{path}: {prefix}: has the layers {found}, with gaps", WHOLE)
    return len(found)


def _body(tensors: Tensors, path: object) -> dict[str, Any]:
    stem = shape_of(tensors, f"{_BODY}.conv1.weight", 4, path)
    if stem[1:] != (3, 7, 7):
        raise EdgekitError(
            f"{path}: {_BODY}.conv1.weight: has the shape {list(stem)}", "edgekit reads ResNets with one 7x7 stem"
        )
    blocks = tuple(_count(tensors, f"{_BODY}.layer{stage}", r"\.conv1\.weight$", path) for stage in range(1, 5))
    if 0 in blocks:
        raise EdgekitError(f"{path}: {_BODY}: has {blocks} blocks in its 4 stages", WHOLE)
    bottleneck = f"{_BODY}.layer1.0.conv3.weight" in tensors
    outs, widths, groups = [], [], set()
    for stage in range(1, 5):
        first = f"{_BODY}.layer{stage}.0"
        into = shape_of(tensors, f"{first}.conv1.weight", 4, path)[0]
        spatial = shape_of(tensors, f"{first}.conv2.weight", 4, path)
        groups.add(into // spatial[1])
        widths.append(spatial[0])
        outs.append(shape_of(tensors, f"{first}.conv{3 if bottleneck else 2}.weight", 4, path)[0])
    if len(groups) > 1:
        raise EdgekitError(f"{path}: {_BODY}: has {sorted(groups)} groups", "edgekit reads one number of groups")
    return {
        "blocks": blocks,
        "bottleneck": bottleneck,
        "stem_channels": stem[0],
        "stage_channels": tuple(outs),
        "block_channels": tuple(widths),
        "groups": groups.pop(),
    }


def _neck(tensors: Tensors, path: object) -> dict[str, Any]:
    laterals = _count(tensors, f"{_FPN}.inner_blocks", r"\.0\.weight$", path)
    if not 1 <= laterals <= 4:
        raise EdgekitError(f"{path}: {_FPN}: has {laterals} levels", "edgekit reads FPNs over 1 to 4 stages")
    channels = shape_of(tensors, f"{_FPN}.layer_blocks.0.0.weight", 4, path)[0]
    convs = _count(tensors, "rpn.head.conv", r"\.0\.weight$", path)
    for conv in range(max(convs, 1)):
        shape = shape_of(tensors, f"rpn.head.conv.{conv}.0.weight", 4, path)
        if shape != (channels, channels, 3, 3):
            raise EdgekitError(
                f"{path}: rpn.head.conv.{conv}: has the shape {list(shape)}, the FPN {channels} channels",
                "edgekit reads 3x3 convolutions of as many channels as the FPN's in an RPN",
            )
    norms = [f"{_FPN}.{kind}_blocks.{i}.1.weight" in tensors for kind in ("inner", "layer") for i in range(laterals)]
    if any(norms) != all(norms):
        raise EdgekitError(f"{path}: {_FPN}: has norms in some of its layers", "edgekit reads norms in all or in none")
    return {
        "levels": tuple(f"layer{stage}" for stage in range(5 - laterals, 5)),
        "fpn_channels": channels,
        "fpn_norms": all(norms),
        "rpn_convs": convs,
    }


def _box_head(tensors: Tensors, path: object) -> dict[str, Any]:
    channels = shape_of(tensors, f"{_FPN}.layer_blocks.0.0.weight", 4, path)[0]
    count = _count(tensors, _BOX_HEAD, r"\.0\.weight$", path)
    convs = tuple(shape_of(tensors, f"{_BOX_HEAD}.{i}.0.weight", 4, path)[0] for i in range(count))
    for i in range(count):
        if f"{_BOX_HEAD}.{i}.1.weight" not in tensors or f"{_BOX_HEAD}.{i}.0.bias" in tensors:
            raise EdgekitError(
                f"{path}: {_BOX_HEAD}: has convolutions without norms", "edgekit reads those with batch norms"
            )
    first = f"{_BOX_HEAD}.{count + 1}.weight" if convs else f"{_BOX_HEAD}.fc6.weight"
    features, columns = shape_of(tensors, first, 2, path)
    if not convs and shape_of(tensors, f"{_BOX_HEAD}.fc7.weight", 2, path) != (features, features):
        raise EdgekitError(f"{path}: {_BOX_HEAD}: has products of two widths", "edgekit reads two of one width")
    channels = convs[-1] if convs else channels
    bins = math.isqrt(columns // channels)
    if channels * bins**2 != columns:
        raise EdgekitError(
            f"{path}: {first}: has {columns} columns, no square of bins of {channels} channels",
            "edgekit reads square RoI pooling",
        )
    return {"box_convs": convs, "box_features": features, "box_bins": bins}


def _mask_head(tensors: Tensors, path: object) -> dict[str, Any]:
    if not any(name.startswith((_MASK_HEAD, MASKS, MASK_HIDDEN)) for name in tensors):
        return {"masks": False}
    count = _count(tensors, _MASK_HEAD, r"\.0\.weight$", path)
    convs = tuple(shape_of(tensors, f"{_MASK_HEAD}.{i}.0.weight", 4, path)[0] for i in range(count))
    norms = [f"{_MASK_HEAD}.{i}.1.weight" in tensors for i in range(count)]
    if not convs or any(norms) != all(norms):
        raise EdgekitError(
            f"{path}: {_MASK_HEAD}: has norms in some of {count} convolutions", "edgekit reads one or more"
        )
    hidden = shape_of(tensors, f"{MASK_HIDDEN}.weight", 4, path)
    shape_of(tensors, f"{MASKS}.weight", 4, path)
    if hidden[2:] != (2, 2):
        raise EdgekitError(f"{path}: {MASK_HIDDEN}: has a kernel of {list(hidden[2:])}", "edgekit reads 2x2 ones")
    return {"masks": True, "mask_convs": convs, "mask_norms": all(norms), "mask_hidden": hidden[1]}

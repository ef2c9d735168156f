"""The settings of a constructed torchvision detector, read from the module itself."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn
from torchvision.models import get_model_builder
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from edgekit.artifacts.detector_settings import RESNET, DetectorSettings
from edgekit.artifacts.model_names import TORCHVISION
from edgekit.errors import EdgekitError
from edgekit.model.anchors import Anchors
from edgekit.model.architectures import SMALL, build_detector
from edgekit.model.box_coders import SymmetricBoxCoder
from edgekit.model.roi_pooling import RoIPooling
from edgekit.model.score_ranked_rpn import ScoreRankedRPN
from edgekit.model.structure.bodies import BODIES, NoExtraLevel, body_named

ARCHITECTURES = ("maskrcnn_mobilenet_v2_fpn", *TORCHVISION)  # those that have a name
SUPPORTED = f"edgekit builds FasterRCNN and MaskRCNN on a BackboneWithFPN of {BODIES}"
NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d)
_NORM = re.compile(r"(Frozen)?BatchNorm2d\((\d+), eps=[^),]+[^)]*\)")


@functools.cache
def named_settings(name: str) -> DetectorSettings:
    """The settings of one of ``ARCHITECTURES``."""
    if name == ARCHITECTURES[0]:
        return SMALL
    with torch.device("meta"):
        return settings_of(get_model_builder(name)(weights=None, weights_backbone=None))


def settings_of(module: FasterRCNN) -> DetectorSettings:
    """Everything that decides what a torchvision detector finds.

    Raises EdgekitError, which names the part, for one that ``build_detector`` would build otherwise.
    """
    if type(module) not in (FasterRCNN, MaskRCNN) or not isinstance(module.backbone, BackboneWithFPN):
        kind = f"{type(module).__name__} on {type(getattr(module, 'backbone', None)).__name__}"
        raise EdgekitError(f"{kind}: not a detector edgekit builds", SUPPORTED)
    try:
        settings = DetectorSettings().changed(
            {**_backbone(module), **_rpn(module), **_heads(module), **_photos(module)}, "module"
        )
    except ValueError as error:
        raise EdgekitError(f"module: {error}", SUPPORTED) from None
    except AttributeError as error:
        raise EdgekitError(f"module: is built of other parts than torchvision's: {error}", SUPPORTED) from None
    _check_same(module, settings)
    return settings


def _backbone(module: FasterRCNN) -> dict[str, Any]:
    body, fpn = module.backbone.body, module.backbone.fpn
    norms = {float(m.eps) for m in module.modules() if isinstance(m, NORMS)}
    if len(norms) > 1:
        raise ValueError(f"norm_eps: its batch norms have several: {sorted(norms)}")
    extra = fpn.extra_blocks
    if not isinstance(extra, LastLevelMaxPool | NoExtraLevel | None):
        raise ValueError(f"extra_level: {type(extra).__name__}, give LastLevelMaxPool or none")
    return {
        **(_resnet(body) if "layer1" in body else {"body": _other(body)}),
        "levels": list(body.return_layers),
        "norm_eps": norms.pop() if norms else 1e-5,
        "fpn_channels": module.backbone.out_channels,
        "fpn_norms": len(fpn.inner_blocks[0]) > 1,
        "extra_level": "pool" if isinstance(extra, LastLevelMaxPool) else "none",
    }


def _resnet(body: nn.ModuleDict) -> dict[str, Any]:
    stages: list[Any] = [stage for name, stage in body.items() if name.startswith("layer")]
    first = stages[0][0]
    bottleneck = hasattr(first, "conv3")
    convolutions = [stage[0].conv2 for stage in stages]
    last = [stage[0].conv3 if bottleneck else stage[0].conv2 for stage in stages]
    halving = next((stage[0] for stage in stages if 2 in (*stage[0].conv1.stride, *stage[0].conv2.stride)), None)
    return {
        "body": RESNET,
        "blocks": [len(stage) for stage in stages],
        "bottleneck": bottleneck,
        "stem_channels": body["conv1"].out_channels,
        "stage_channels": [c.out_channels for c in last],
        "block_channels": [c.out_channels for c in convolutions],
        "groups": first.conv2.groups,
        "stride_in_1x1": bool(bottleneck and halving is not None and halving.conv1.stride[0] == 2),
    }


def _other(body: nn.ModuleDict) -> str:
    """torchvision's name of a body by its tensors' shapes."""
    name = body_named({n: tuple(tensor.shape) for n, tensor in body.state_dict().items()})
    if name is None:
        raise ValueError("body: is not one that edgekit builds")
    return name


def _rpn(module: FasterRCNN) -> dict[str, Any]:
    rpn = module.rpn
    anchors = rpn.anchor_generator
    if type(anchors) not in (AnchorGenerator, Anchors):
        raise ValueError(f"anchor_sizes: come from a {type(anchors).__name__}, give torchvision's AnchorGenerator")
    if tuple(rpn.box_coder.weights) != (1.0, 1.0, 1.0, 1.0):
        raise ValueError("rpn.box_coder: has weights, and edgekit knows of none there")
    return {
        "anchor_sizes": [list(map(float, sizes)) for sizes in anchors.sizes],
        "anchor_ratios": [list(map(float, ratios)) for ratios in anchors.aspect_ratios],
        "anchors_rounded": getattr(anchors, "rounded", True),
        "anchor_offset": float(getattr(anchors, "offset", 0.0)),
        "anchor_strides": list(getattr(anchors, "strides", None) or []),
        "rpn_convs": len(rpn.head.conv),
        "rpn_pre_nms": rpn._pre_nms_top_n["testing"],
        "rpn_post_nms": rpn._post_nms_top_n["testing"],
        "rpn_by_score": isinstance(rpn, ScoreRankedRPN),
        "rpn_nms": float(rpn.nms_thresh),
        "rpn_min_size": float(rpn.min_size),
        "rpn_score_threshold": float(rpn.score_thresh),
    }


def _heads(module: FasterRCNN) -> dict[str, Any]:
    heads = module.roi_heads
    pools = [heads.box_roi_pool] + ([heads.mask_roi_pool] if heads.has_mask() else [])
    rules = {(tuple(p.featmap_names), p.sampling_ratio, getattr(p, "aligned", False)) for p in pools}
    for pool in pools:
        usual = (pool.canonical_scale, pool.canonical_level) == (224, 4)
        if type(pool) not in (MultiScaleRoIAlign, RoIPooling) or not usual:
            raise ValueError("box_roi_pool: give torchvision's MultiScaleRoIAlign with its canonical scale and level")
    if len(rules) > 1:
        raise ValueError("mask_roi_pool: pools otherwise than box_roi_pool: levels, samples")
    if heads.has_keypoint():
        raise ValueError("keypoint_head: edgekit has no keypoints")
    ((levels, sampling, aligned),) = rules
    box_head: Iterable[Any] = heads.box_head if isinstance(heads.box_head, nn.Sequential) else []
    found = {
        "roi_levels": list(levels),
        "roi_sampling": max(0, sampling),
        "roi_aligned": aligned,
        "box_bins": heads.box_roi_pool.output_size[0],
        "box_convs": [layer[0].out_channels for layer in box_head if isinstance(layer, nn.Sequential)],
        "box_norms": any(map(_is_norm, heads.box_head.modules())),
        "box_features": heads.box_predictor.cls_score.in_features,
        "symmetric_clamp": isinstance(heads.box_coder, SymmetricBoxCoder),
        "box_weights": list(map(float, heads.box_coder.weights)),
        "score_threshold": float(heads.score_thresh),
        "nms_threshold": float(heads.nms_thresh),
        "detections": heads.detections_per_img,
        "masks": bool(heads.has_mask()),
    }
    if heads.has_mask():
        found["mask_bins"] = heads.mask_roi_pool.output_size[0]
        found["mask_convs"] = [layer[0].out_channels for layer in heads.mask_head]
        found["mask_norms"] = any(map(_is_norm, heads.mask_head.modules()))
        found["mask_hidden"] = heads.mask_predictor.conv5_mask.out_channels
    return found


def _photos(module: FasterRCNN) -> dict[str, Any]:
    transform = module.transform
    return {
        "mean": list(map(float, transform.image_mean)),
        "std": list(map(float, transform.image_std)),
        "min_side": transform.min_size[-1],
        "max_side": transform.max_size,
    }


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, NORMS)


def _check_same(module: FasterRCNN, settings: DetectorSettings) -> None:
    """Raise EdgekitError if the module made of the settings is another one."""
    with torch.device("meta"):
        built = build_detector(settings, module.roi_heads.box_predictor.cls_score.out_features)
    for name in ("backbone.body", "backbone.fpn", "rpn.head", "roi_heads.box_head", "roi_heads.box_predictor",
                 "roi_heads.mask_head", "roi_heads.mask_predictor"):  # fmt: skip
        theirs, ours = (_layers(m, name) for m in (module, built))
        for own, other in zip(theirs, ours, strict=False):
            if own != other:
                raise EdgekitError(f"module: {name}: has {own}, and edgekit builds {other} there", SUPPORTED)
        if len(theirs) != len(ours):
            raise EdgekitError(f"module: {name}: has {len(theirs)} layers, and edgekit builds {len(ours)}", SUPPORTED)


def _layers(module: FasterRCNN, name: str) -> list[str]:
    """What each layer of a part says of itself, but for what it takes no matter of in use."""
    part: nn.Module | None = module
    for step in name.split("."):
        part = getattr(part, step)
    return list(_described(part)) if part is not None else []


def _described(part: nn.Module) -> Iterator[str]:
    for name, layer in part.named_modules():
        if not list(layer.children()):
            text = _NORM.sub(r"norm(\2)", str(layer)).replace(", inplace=True", "").replace("inplace=True", "")
            yield f"{name} {text}"

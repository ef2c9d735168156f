"""Recognises a checkpoint that does not describe itself: its architecture, batch norms and classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

from edgekit.artifacts.metadata import BACKGROUND, ModelMeta
from edgekit.errors import EdgekitError
from edgekit.model.architectures import ARCHITECTURES
from edgekit.model.class_file import read_class_names
from edgekit.model.hints import CheckpointHints

Tensors = Mapping[str, torch.Tensor]
SUPPORTED = f"edgekit reads torchvision's layout of: {', '.join(ARCHITECTURES)}"
PREDICTOR = "roi_heads.box_predictor"
ANCHORS = {"resnet50": 3, "mobilenet_v3_large": 15, "mobilenet_v2": 3}  # per cell, of each backbone's architectures
# The depth of a ResNet, by its number of blocks in layer3 and whether they are bottlenecks.
RESNETS = {(2, False): 18, (6, False): 34, (6, True): 50, (23, True): 101, (36, True): 152}
# What other models' tensor names look like.
STRANGERS = {
    r"(^|\.)transformer\.|class_embed": "DETR or another transformer",
    r"^proposal_generator\.|^backbone\.bottom_up\.": "a Detectron2 model",
    r"^roi_head\.|^bbox_head\.|^rpn_head\.": "an MMDetection model",
    r"^head\.regression_head\.bbox_ctrness": "torchvision's FCOS",
    r"^backbone\.extra\.": "torchvision's SSD",
    r"^head\.classification_head\.": "torchvision's RetinaNet",
    r"^(model\.)?\d+\.(conv|cv1|m|bn)\.": "a YOLO model",
    r"^(backbone|classifier|decode_head)\.\d+\.|^aux_classifier\.": "a segmentation model",
    r"^(fc|classifier|head)\.|^layer1\.|^features\.": "an image classifier",
}


def recognise(
    tensors: Tensors, path: Path, hints: CheckpointHints = CheckpointHints(), pretrained: str | None = None
) -> ModelMeta:
    """What the tensors of ``path`` are; ``pretrained`` is the name under which torchvision distributes them.

    ``hints.architecture`` overrides what their names and shapes say.
    """
    if f"{PREDICTOR}.cls_score.weight" not in tensors:
        raise EdgekitError(f"{path}: {_stranger(tensors)}", SUPPORTED)
    count = _rows(tensors, path)
    name, how = _architecture(tensors, path)
    if hints.architecture or pretrained:
        name, how = hints.architecture or pretrained or name, "as given"
    if name not in ARCHITECTURES:
        raise EdgekitError(f"--architecture {name}: unknown", f"give one of: {', '.join(ARCHITECTURES)}")
    classes, source = _class_names(count, hints.base_classes, path)
    frozen = frozen_norms(tensors)
    # torchvision runs its COCO_V1 weights of the first ResNet-50 models, which have 91 classes, with the epsilon of 0
    # that they were trained with (its ``overwrite_eps``).
    coco_v1 = frozen and count == 91 and name in ("maskrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn")
    variances = [t for n, t in tensors.items() if n.endswith("running_var")]
    eps = 0.0 if coco_v1 and all((v > 0).all() for v in variances) else 1e-5
    kind = f"{'frozen' if frozen else 'trained'}, epsilon {eps:g}"
    return ModelMeta(
        architecture=name,
        generations=(classes,),
        input_size=ARCHITECTURES[name],
        batch_norm_eps=eps,
        recognised={"architecture": how, "batch norms": kind, "class names": source},
    )


def frozen_norms(tensors: Tensors) -> bool:
    """Whether a model's batch norms are torchvision's frozen ones, not PyTorch's."""
    return not any(n.endswith("num_batches_tracked") for n in tensors)


def _rows(tensors: Tensors, path: Path) -> int:
    """The number of classes with the background, on which all predictors must agree."""
    count = tensors[f"{PREDICTOR}.cls_score.weight"].shape[0]
    layers = {f"{PREDICTOR}.cls_score": 1, f"{PREDICTOR}.bbox_pred": 4, "roi_heads.mask_predictor.mask_fcn_logits": 1}
    shapes = {f"{layer}.{kind}": rows for layer, rows in layers.items() for kind in ("weight", "bias")}
    shapes = {name: rows for name, rows in shapes.items() if name in tensors}
    if count < 2 or any(tensors[name].shape[0] != rows * count for name, rows in shapes.items()):
        found = ", ".join(f"{n.removeprefix('roi_heads.')} {list(tensors[n].shape)}" for n in shapes)
        raise EdgekitError(
            f"{path}: its predictors disagree about the number of classes: {found}",
            "replace them together: cls_score [N, F], bbox_pred [4 N, F], mask_fcn_logits [N, C, 1, 1]",
        )
    return count


def _architecture(tensors: Tensors, path: Path) -> tuple[str, str]:
    """The architecture's name, and how it was found."""
    if not any(n.startswith("backbone.fpn.") for n in tensors):
        raise EdgekitError(f"{path}: seems to be a torchvision R-CNN without an FPN", SUPPORTED)
    backbone = _backbone(tensors)
    detector = "maskrcnn" if any(n.startswith("roi_heads.mask_predictor.") for n in tensors) else "fasterrcnn"
    version = "_v2" if "backbone.fpn.inner_blocks.0.1.weight" in tensors else ""
    name = f"{detector}_{backbone}_fpn{version}"
    if name not in ARCHITECTURES:
        raise EdgekitError(f"{path}: seems to be a {detector} with a {backbone} backbone", SUPPORTED)
    anchors = tensors["rpn.head.cls_logits.weight"].shape[0] if "rpn.head.cls_logits.weight" in tensors else 0
    if anchors != ANCHORS[backbone]:
        raise EdgekitError(f"{path}: has {anchors} anchors per cell, {name} has {ANCHORS[backbone]}", SUPPORTED)
    if backbone == "mobilenet_v3_large":
        return name, "by its tensors, which fasterrcnn_mobilenet_v3_large_320_fpn has too: --architecture overrides"
    return name, "by its tensors"


def _backbone(tensors: Tensors) -> str:
    first = tensors.get("backbone.body.0.0.weight")
    if first is not None:
        return {16: "mobilenet_v3_large", 32: "mobilenet_v2"}.get(first.shape[0], "mobile")
    blocks = {int(m[1]) for n in tensors if (m := re.match(r"backbone\.body\.layer3\.(\d+)\.", n))}
    bottleneck = "backbone.body.layer1.0.conv3.weight" in tensors
    depth = RESNETS.get((len(blocks), bottleneck))
    if depth is None:
        return "unknown"
    if bottleneck and tensors["backbone.body.layer1.0.conv2.weight"].shape[:2] != (64, 64):
        return f"resnext{depth} or wide_resnet{depth}"
    return f"resnet{depth}"


def _stranger(tensors: Tensors) -> str:
    """What a model that is not a torchvision R-CNN seems to be."""
    for pattern, what in STRANGERS.items():
        if any(re.search(pattern, n) for n in tensors):
            return f"seems to be {what}, not a torchvision R-CNN"
    return f"has no {PREDICTOR}: not a torchvision R-CNN (its first tensor is {next(iter(tensors), 'none')})"


def _class_names(count: int, base_classes: str | Path | None, path: Path) -> tuple[tuple[str, ...], str]:
    """The classes by label, the background first, and where their names come from."""
    if base_classes is not None:
        return (BACKGROUND, *read_class_names(Path(base_classes), count, path)), str(base_classes)
    if count == 91:
        names = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
        return (BACKGROUND, *names[1:]), "COCO's, for its 91 rows"
    return (BACKGROUND, *(f"class {i}" for i in range(1, count))), "made up: --base-classes gives the real ones"

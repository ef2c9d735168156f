"""Recognises a checkpoint that does not describe itself: its settings and classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

from edgekit.artifacts.detector_settings import (
    ASSUMED,
    RESNET,
    SEE_SETTINGS,
    DetectorSettings,
    changed_by_file,
    read_settings,
)
from edgekit.artifacts.metadata import BACKGROUND, ModelMeta
from edgekit.errors import EdgekitError
from edgekit.model.class_file import read_class_names
from edgekit.model.foreign.config_files import is_detectron2_config
from edgekit.model.hints import CheckpointHints
from edgekit.model.module_settings import ARCHITECTURES, named_settings
from edgekit.model.sources import Weights
from edgekit.model.state_dicts import shown
from edgekit.model.structure.bodies import body_eps
from edgekit.model.structure.labels import label
from edgekit.model.structure.tensor_shapes import SUPPORTED, Tensors
from edgekit.model.tensor_settings import shape_settings

PREDICTOR = "roi_heads.box_predictor"
# What tensor names look like in models that are no R-CNNs.
PARTS = ("backbone.", "rpn.", "roi_heads.")  # of a detector; its other tensors are what somebody added
STRANGERS = {
    r"(^|\.)transformer\.|class_embed|class_labels_classifier": "DETR or another transformer",
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

    ``hints`` override what their names and shapes say.
    """
    if f"{PREDICTOR}.cls_score.weight" not in tensors:
        raise EdgekitError(f"{path}: {_stranger(tensors)}", SUPPORTED)
    if keypoints := next((name for name in tensors if name.startswith("roi_heads.keypoint_")), None):
        raise EdgekitError(f"{path}: {keypoints}: is of a Keypoint R-CNN", SUPPORTED)
    count = _rows(tensors, path)
    given = hints.architecture or pretrained
    own = read_settings(Path(hints.settings)) if hints.settings is not None else {}
    if is_detectron2_config(own):
        raise EdgekitError(f"{hints.settings}: is Detectron2's config, and {path} is torchvision's", SEE_SETTINGS)
    name, settings, how = _given(given, hints) if given else _by_tensors(tensors, path, hints, own)
    classes, source = _class_names(count, hints.base_classes, path)
    settings = settings.changed(*_epsilon(tensors, count, name, settings.body))
    if hints.settings is not None:
        settings = changed_by_file(settings, own, hints.settings)
    return ModelMeta(
        architecture=name,
        generations=(classes,),
        input_size=settings.input_size,
        settings=settings,
        recognised={"architecture": how, "class names": source},
    )


def of_detector(weights: Weights, path: Path) -> Weights:
    """The weights without what stands beside a torchvision detector, such as buffers that somebody added to it.

    Raises EdgekitError, which names the tensor, for weights that are no floating-point numbers.
    """
    if f"{PREDICTOR}.cls_score.weight" not in weights.tensors:
        return weights
    tensors = {name: tensor for name, tensor in weights.tensors.items() if name.startswith(PARTS)}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() and not name.endswith("num_batches_tracked"):
            raise EdgekitError(f"{path}: {name}: has the type {tensor.dtype}", "give weights in floating point")
    beside = [shown(name) for name in weights.tensors if name not in tensors]
    notes = (f"tensors beside the model, left out: {', '.join(beside[:5])}",) if beside else ()
    return replace(weights, tensors=tensors, notes=(*weights.notes, *notes))


def _given(name: str, hints: CheckpointHints) -> tuple[str, DetectorSettings, str]:
    """The settings of a named architecture, and how it was found."""
    if name not in ARCHITECTURES:
        raise EdgekitError(f"--architecture {name}: unknown", f"give one of: {', '.join(ARCHITECTURES)}")
    settings = named_settings(name)
    origin = f"option: --architecture {name}" if hints.architecture else f"torchvision's {name}"
    return name, settings.changed(settings.values(), origin), "as given"


def _by_tensors(
    tensors: Tensors, path: Path, hints: CheckpointHints, own: Mapping[str, Any]
) -> tuple[str, DetectorSettings, str]:
    """The settings of what has these tensors, its name, and how it was found; ``own`` are the user's file's."""
    try:
        settings = shape_settings(tensors, path, own)
    except ValueError as error:
        raise EdgekitError(f"{hints.settings or path}: {error}", SEE_SETTINGS) from None
    name, how = label(settings), "by its tensors"
    if name in ARCHITECTURES:
        usual = named_settings(name)
        read = [field for field in settings.values() if field not in settings.origins]
        if all(getattr(usual, field) == getattr(settings, field) for field in read):
            settings = usual.changed(usual.values(), f"{ASSUMED}: as {name} has it").read_from_weights(read)
    if name == "fasterrcnn_mobilenet_v3_large_fpn":
        how += ", which fasterrcnn_mobilenet_v3_large_320_fpn has too: --architecture overrides"
    return name, settings, how


def _epsilon(tensors: Tensors, count: int, name: str, body: str) -> tuple[dict[str, float], str]:
    """The batch norms' epsilon, and where it comes from.

    torchvision runs its COCO_V1 weights of the first ResNet-50 models, which have 91 classes, with the epsilon of 0
    that they were trained with (its ``overwrite_eps``), and builds MobileNets for detectors with PyTorch's default.
    """
    coco_v1 = count == 91 and name in ("maskrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn") and frozen_norms(tensors)
    variances = [t for n, t in tensors.items() if n.endswith("running_var")]
    if coco_v1 and all((v > 0).all() for v in variances):
        return {"norm_eps": 0.0}, f"{ASSUMED}: as torchvision's COCO_V1 weights, for its 91 rows and frozen batch norms"
    if body != RESNET and not body.startswith("mobilenet"):
        return {"norm_eps": body_eps(body)}, f"{ASSUMED}: as torchvision's {body} has it"
    return {"norm_eps": 1e-5}, f"{ASSUMED}: PyTorch's default"


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


def _stranger(tensors: Tensors) -> str:
    """What a model that is no R-CNN seems to be."""
    for pattern, what in STRANGERS.items():
        if any(re.search(pattern, n) for n in tensors):
            return f"seems to be {what}, not an R-CNN"
    return f"has no {PREDICTOR}: not an R-CNN (its first tensor is {next(iter(tensors), 'none')})"


def _class_names(count: int, base_classes: str | Path | None, path: Path) -> tuple[tuple[str, ...], str]:
    """The classes by label, the background first, and where their names come from."""
    if base_classes is not None:
        return (BACKGROUND, *read_class_names(Path(base_classes), count, path)), str(base_classes)
    if count == 91:
        names = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
        return (BACKGROUND, *names[1:]), "COCO's, for its 91 rows"
    return (BACKGROUND, *(f"class {i}" for i in range(1, count))), "made up: --base-classes gives the real ones"

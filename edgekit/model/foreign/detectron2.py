"""Detectron2's Mask R-CNN and Faster R-CNN with FPN, from its tensors and, where it is at hand, its config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

from edgekit.errors import EdgekitError
from edgekit.model.foreign.config_values import ConfigFields
from edgekit.model.foreign.converted import CONFIG, FILE, Foreign, settings_by_origin
from edgekit.model.foreign.detectron2_config import ALWAYS, ASSUMED_ZOO, DEFAULT, Detectron2Rules, detectron2_rules
from edgekit.model.foreign.rearranging import (
    background_first,
    check_anchors,
    count_classes,
    names_by_rules,
    ratios_outer,
    renamed_tensors,
    rgb_stem,
)
from edgekit.model.structure.labels import label
from edgekit.model.structure.tensor_shapes import Tensors, settings_from_shapes

SUPPORTED = "edgekit reads Detectron2's Mask R-CNN and Faster R-CNN with a ResNet and FPN"
# Parts of names, in the order they are looked for, and what they are signs of.
_OTHERS = {
    r"roi_heads\.res5\.": "a C4 model",
    r"roi_heads\.box_(head|predictor)\.\d+\.": "a Cascade R-CNN",
    r"roi_heads\.(mask_point_head|mask_coarse_head|mask_head\.(point_head|coarse_head))": "a PointRend model",
    r"roi_heads\.keypoint_head\.": "a keypoint model",
    r"sem_seg_head\.": "a panoptic or semantic model",
    r"head\.(cls_subnet|cls_score|bbox_subnet)": "a RetinaNet",
    r"backbone\.(bottom_up\.)?res\d\.\d+\.conv2_offset": "a model with deformable convolutions",
    r"backbone\.res5\.": "a DC5 model",
    r"(conv1_bn_s|res2_0_branch2a_w|conv1_w)$": "a file with Caffe2's names",
    r"backbone\.bottom_up\.(?!stem\.conv1\.|res\d\.)": "a model with a body other than a ResNet",
    r"proposal_generator\.(?!rpn_head\.|anchor_generator\.)": "a model with proposals other than an RPN's",
}
_IGNORED = r".*num_batches_tracked|pixel_(mean|std)|proposal_generator\.anchor_generator\..*"
_NAMES = {
    r"backbone\.bottom_up\.stem\.conv1\.norm\.(\w+)": r"backbone.body.bn1.\1",
    r"backbone\.bottom_up\.stem\.conv1\.weight": r"backbone.body.conv1.weight",
    r"backbone\.bottom_up\.res(\d)\.(\d+)\.shortcut\.norm\.(\w+)": r"backbone.body.layer\1.\2.downsample.1.\3",
    r"backbone\.bottom_up\.res(\d)\.(\d+)\.shortcut\.weight": r"backbone.body.layer\1.\2.downsample.0.weight",
    r"backbone\.bottom_up\.res(\d)\.(\d+)\.conv([123])\.norm\.(\w+)": r"backbone.body.layer\1.\2.bn\3.\4",
    r"backbone\.bottom_up\.res(\d)\.(\d+)\.conv([123])\.weight": r"backbone.body.layer\1.\2.conv\3.weight",
    r"backbone\.fpn_lateral(\d)\.norm\.(\w+)": r"backbone.fpn.inner_blocks.\1.1.\2",
    r"backbone\.fpn_lateral(\d)\.(weight|bias)": r"backbone.fpn.inner_blocks.\1.0.\2",
    r"backbone\.fpn_output(\d)\.norm\.(\w+)": r"backbone.fpn.layer_blocks.\1.1.\2",
    r"backbone\.fpn_output(\d)\.(weight|bias)": r"backbone.fpn.layer_blocks.\1.0.\2",
    r"proposal_generator\.rpn_head\.conv\.(weight|bias)": r"rpn.head.conv.0.0.\1",
    r"proposal_generator\.rpn_head\.conv\.conv(\d+)\.(weight|bias)": r"rpn.head.conv.\1.0.\2",
    r"proposal_generator\.rpn_head\.objectness_logits\.(weight|bias)": r"rpn.head.cls_logits.\1",
    r"proposal_generator\.rpn_head\.anchor_deltas\.(weight|bias)": r"rpn.head.bbox_pred.\1",
    r"roi_heads\.box_head\.conv(\d+)\.norm\.(\w+)": r"roi_heads.box_head.\1.1.\2",
    r"roi_heads\.box_head\.conv(\d+)\.(weight|bias)": r"roi_heads.box_head.\1.0.\2",
    r"roi_heads\.box_head\.fc(\d)\.(weight|bias)": r"roi_heads.box_head.fc\1.\2",
    r"roi_heads\.box_predictor\.(cls_score|bbox_pred)\.(weight|bias)": r"roi_heads.box_predictor.\1.\2",
    r"roi_heads\.mask_head\.mask_fcn(\d+)\.norm\.(\w+)": r"roi_heads.mask_head.\1.1.\2",
    r"roi_heads\.mask_head\.mask_fcn(\d+)\.(weight|bias)": r"roi_heads.mask_head.\1.0.\2",
    r"roi_heads\.mask_head\.deconv\.(weight|bias)": r"roi_heads.mask_predictor.conv5_mask.\1",
    r"roi_heads\.mask_head\.predictor\.(weight|bias)": r"roi_heads.mask_predictor.mask_fcn_logits.\1",
}


def is_detectron2(tensors: Tensors) -> bool:
    """Whether names are those of a model of Detectron2, also one that edgekit does not read."""
    backbone = r"backbone\.(bottom_up\.|stem\.conv\d\.|res\d\.|fpn_lateral\d)"
    signs = rf"{backbone}|proposal_generator\.|sem_seg_head\.|res2_0_branch2a_w$"
    return any(re.match(signs, name) for name in tensors)


def read_detectron2(
    tensors: Tensors, config: Mapping[str, Any] | None, path: object, config_file: object = None
) -> Foreign:
    """A detector from its tensors and its full config (``read_yaml_config``), or None; errors name its file.

    Raises EdgekitError, which names the tensor or the field, for models that edgekit does not read, and where the
    config and the tensors disagree.
    """
    for pattern, what in _OTHERS.items():
        if found := next((name for name in tensors if re.match(pattern, name)), None):
            remedy = "; give the zoo's model_final_*.pkl" if "Caffe2" in what else ""
            raise EdgekitError(f"{path}: {found}: is of {what}", SUPPORTED + remedy)
    _refuse_group_norms(tensors, path)
    renamed = renamed_tensors(tensors, _new_names(tensors, path), path)
    shapes = settings_from_shapes(renamed, path)
    classes = count_classes(renamed, path)
    fields = ConfigFields(config or {}, str(config_file or (path if config is None else f"{path}: config")))
    rules = detectron2_rules(fields, config is None, shapes, renamed, classes, _file_statistics(tensors, path))
    said = {FILE: {**shapes, **rules.from_file}, CONFIG: rules.fields.said}
    said[DEFAULT if config is not None else ASSUMED_ZOO] = rules.fields.assumed
    settings = settings_by_origin({"Detectron2": ALWAYS, **said}, path)
    check_anchors(renamed, set(settings.anchors_per_cell), "MODEL.ANCHOR_GENERATOR", path)
    arranged, notes = _arranged(renamed, rules, settings.anchor_sizes, settings.anchor_ratios, classes)
    names = None
    if classes == 80:
        categories = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
        names = tuple(name for name in categories if name not in ("__background__", "N/A"))
        notes["classes"] = "COCO's, for its 80 rows"
    return Foreign(f"detectron2 {label(settings)}", arranged, settings, names, notes)


def _refuse_group_norms(tensors: Tensors, path: object) -> None:
    """Raise for a norm that has no statistics of batches."""
    for name in tensors:
        norm = name.removesuffix(".weight")
        if norm != name and norm.endswith(".norm") and f"{norm}.running_mean" not in tensors:
            raise EdgekitError(
                f"{path}: {name}: has no running_mean beside it, as GroupNorm (GN)",
                "edgekit reads models with batch norms: BN, FrozenBN, SyncBN",
            )


def _arranged(
    renamed: dict[str, torch.Tensor], rules: Detectron2Rules, sizes: Any, ratios: Any, classes: int
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    tensors, notes = background_first(renamed, classes)
    try:
        tensors, more = ratios_outer(tensors, sizes, ratios)
    except ValueError:
        rules.fields.refuse("MODEL.ANCHOR_GENERATOR.SIZES", sizes, "as many sizes and ratios on every level")
    notes |= more
    if rules.bgr:
        tensors, more = rgb_stem(tensors)
        notes |= more
    return tensors, notes


def _file_statistics(tensors: Tensors, path: object) -> dict[str, tuple[float, ...]]:
    """pixel_mean and pixel_std, where a file has them as tensors, as Detectron2's did until 2020."""
    found = {}
    for name in ("pixel_mean", "pixel_std"):
        if name in tensors:
            if tensors[name].numel() != 3:
                raise EdgekitError(f"{path}: {name}: has {tensors[name].numel()} numbers, not 3", SUPPORTED)
            found[name] = tuple(float(value) for value in tensors[name].flatten())
    return found


def _new_names(tensors: Tensors, path: object) -> dict[str, str | None]:
    """Torchvision's name of each tensor; layers counted from 0, as torchvision does."""
    laterals = [int(found[1]) for name in tensors if (found := re.match(r"backbone\.fpn_lateral(\d)\.", name))]
    convs = len({found[1] for name in tensors if (found := re.match(r"roi_heads\.box_head\.conv(\d+)\.", name))})
    lowest = min(laterals, default=2)
    shifts = {
        r"(backbone\.body\.layer)(\d)(\..*)": -1,
        r"(backbone\.fpn\.\w+_blocks\.)(\d+)(\..*)": -lowest,
        r"(roi_heads\.mask_head\.)(\d+)(\..*)": -1,
        r"(roi_heads\.box_head\.)(\d+)(\..*)": -1,
        r"(roi_heads\.box_head\.fc)(\d)(\..*)": 5,
    }
    names = names_by_rules(tensors, _NAMES, _IGNORED, SUPPORTED, path)
    for name, new in names.items():
        if new is None:
            continue
        for pattern, shift in shifts.items():
            if found := re.fullmatch(pattern, new):
                new = f"{found[1]}{int(found[2]) + shift}{found[3]}"
                break
        # With convolutions one product follows them and what makes them flat: torchvision counts all as layers.
        names[name] = new.replace("box_head.fc6.", f"box_head.{convs + 1}.") if convs else new
    return names

"""MMDetection's Mask R-CNN and Faster R-CNN with FPN, from their tensors and their config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.model.foreign.config_files import DUMPED_PYTHON, parse_python_config
from edgekit.model.foreign.config_values import ConfigFields
from edgekit.model.foreign.converted import CONFIG, FILE, Foreign, settings_by_origin
from edgekit.model.foreign.mmdetection_config import ALWAYS_MMDETECTION, mmdetection_rules
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
from edgekit.model.structure.tensor_shapes import BOXES, CLASSES, Tensors, settings_from_shapes, shape_of

READ = "edgekit reads MMDetection's MaskRCNN and FasterRCNN with a ResNet or ResNeXt and FPN"
# Parts of names, in the order they are looked for, and what they are signs of.
_OTHERS = {
    r".*\.gn\d?\.": "a model with GroupNorm (GN), not with batch norms",
    r"rpn_head\.stages\.": "a cascade RPN",
    r"roi_head\.(bbox|mask)_head\.\d+\.": "a Cascade R-CNN or HTC",
    r"(roi_head\.)?(semantic_head|semantic_roi_extractor|panoptic|glbctx_head)": "a panoptic or semantic model",
    r"roi_head\.point_head\.": "a PointRend model",
    r"roi_head\.mask_iou_head\.": "a Mask Scoring R-CNN",
    r"roi_head\.grid_head\.": "a Grid R-CNN",
    r"roi_head\.bbox_head\.(conv_branch|fc_branch|res_block)\.": "a Double-Head R-CNN",
    r"roi_head\.bbox_head\.(cls|reg)_(convs|fcs)\.": "a box head whose branches are not shared",
    r"backbone\..*(conv_offset|conv2_offset)": "a model with deformable convolutions",
    r"backbone\.stem\.\d": "a ResNet with a deep stem (ResNetV1d)",
    r"neck\.(downsample_convs|pafpn_convs)\.": "a PAFPN",
    r"neck\.\d+\.": "a model with several necks",
    r"neck\.(?!lateral_convs\.|fpn_convs\.)": "a neck other than an FPN",
    r"backbone\.(?!conv1\.|bn1\.|layer[1-4]\.)": "a body other than a ResNet",
    r"(bbox_head|mask_head|shared_head)\.": "a one-stage model, or one of MMDetection 1",
}
_IGNORED = r".*num_batches_tracked|data_preprocessor\.(mean|std)"
_NAMES = {
    r"backbone\.(.*)": r"backbone.body.\1",
    r"neck\.lateral_convs\.(\d+)\.conv\.(weight|bias)": r"backbone.fpn.inner_blocks.\1.0.\2",
    r"neck\.lateral_convs\.(\d+)\.bn\.(\w+)": r"backbone.fpn.inner_blocks.\1.1.\2",
    r"neck\.fpn_convs\.(\d+)\.conv\.(weight|bias)": r"backbone.fpn.layer_blocks.\1.0.\2",
    r"neck\.fpn_convs\.(\d+)\.bn\.(\w+)": r"backbone.fpn.layer_blocks.\1.1.\2",
    r"rpn_head\.rpn_conv\.(weight|bias)": r"rpn.head.conv.0.0.\1",
    r"rpn_head\.rpn_conv\.(\d+)\.conv\.(weight|bias)": r"rpn.head.conv.\1.0.\2",
    r"rpn_head\.rpn_cls\.(weight|bias)": r"rpn.head.cls_logits.\1",
    r"rpn_head\.rpn_reg\.(weight|bias)": r"rpn.head.bbox_pred.\1",
    r"roi_head\.bbox_head\.shared_convs\.(\d+)\.conv\.(weight|bias)": r"roi_heads.box_head.\1.0.\2",
    r"roi_head\.bbox_head\.shared_convs\.(\d+)\.bn\.(\w+)": r"roi_heads.box_head.\1.1.\2",
    r"roi_head\.bbox_head\.shared_fcs\.0\.(weight|bias)": r"roi_heads.box_head.fc6.\1",
    r"roi_head\.bbox_head\.shared_fcs\.1\.(weight|bias)": r"roi_heads.box_head.fc7.\1",
    r"roi_head\.bbox_head\.fc_cls\.(weight|bias)": r"roi_heads.box_predictor.cls_score.\1",
    r"roi_head\.bbox_head\.fc_reg\.(weight|bias)": r"roi_heads.box_predictor.bbox_pred.\1",
    r"roi_head\.mask_head\.convs\.(\d+)\.conv\.(weight|bias)": r"roi_heads.mask_head.\1.0.\2",
    r"roi_head\.mask_head\.convs\.(\d+)\.bn\.(\w+)": r"roi_heads.mask_head.\1.1.\2",
    r"roi_head\.mask_head\.upsample\.(weight|bias)": r"roi_heads.mask_predictor.conv5_mask.\1",
    r"roi_head\.mask_head\.conv_logits\.(weight|bias)": r"roi_heads.mask_predictor.mask_fcn_logits.\1",
}


def is_mmdetection(tensors: Tensors) -> bool:
    """Whether names are those of a model of MMDetection, also one that edgekit does not read."""
    signs = r"(neck|rpn_head|roi_head|bbox_head|mask_head)\."
    return any(name.startswith("backbone.") for name in tensors) and any(re.match(signs, name) for name in tensors)


def read_mmdetection(
    tensors: Tensors,
    meta: Mapping[str, Any],
    config: Mapping[str, Any] | None,
    path: object,
    config_file: object = None,
) -> Foreign:
    """A detector from its tensors, the checkpoint's ``meta``, and its full config (``read_python_config``).

    Without ``config`` the text in ``meta`` is read; ``config_file`` is what errors name. Raises EdgekitError, which
    names the tensor or the field, for models that edgekit does not read, and where config and tensors disagree.
    """
    for pattern, what in _OTHERS.items():
        if found := next((name for name in tensors if re.match(pattern, name)), None):
            raise EdgekitError(f"{path}: {found}: is of {what}", READ)
    renamed = renamed_tensors(tensors, _new_names(tensors, path), path)
    shapes = settings_from_shapes(renamed, path)
    rows = {name: shape_of(renamed, f"{name}.weight", 2, path)[0] for name in (CLASSES, BOXES)}
    if rows[BOXES] == 4 * rows[CLASSES]:
        raise EdgekitError(
            f"{path}: roi_head.bbox_head.fc_reg: has rows for the background, as MMDetection 1 has",
            "convert it with MMDetection 2's tools/upgrade_model_version.py, or train with MMDetection 2 or 3",
        )
    classes = count_classes(renamed, path)
    fields = _config_fields(meta, config, path, config_file)
    rules = mmdetection_rules(fields, shapes, renamed, classes)
    by_origin = {"MMDetection": ALWAYS_MMDETECTION, FILE: shapes, **rules.assumed}
    said = FILE if config is None else CONFIG
    settings = settings_by_origin({**by_origin, said: {**by_origin.get(said, {}), **fields.said}}, path)
    check_anchors(renamed, set(settings.anchors_per_cell), "model.rpn_head.anchor_generator", path)
    arranged, notes = background_first(renamed, classes)
    if rules.scales_outer:
        arranged, more = ratios_outer(arranged, settings.anchor_sizes, settings.anchor_ratios)
        notes |= more
    if rules.bgr:
        arranged, more = rgb_stem(arranged)
        notes |= more
    notes |= rules.notes
    name = f"mmdetection {label(settings)}"
    return Foreign(name, arranged, settings, _class_names(meta, classes, path), notes)


def _config_fields(
    meta: Mapping[str, Any], config: Mapping[str, Any] | None, path: object, config_file: object
) -> ConfigFields:
    if config is not None:
        return ConfigFields(config, str(config_file or f"{path}: config"))
    key = next((key for key in ("cfg", "config") if isinstance(meta.get(key), str) and meta[key].strip()), None)
    if key is None:
        raise EdgekitError(f"{path}: meta.cfg and meta.config: hold no config", DUMPED_PYTHON)
    return ConfigFields(parse_python_config(meta[key], f"{path}: meta.{key}"), f"{path}: meta.{key}")


def _class_names(meta: Mapping[str, Any], classes: int, path: object) -> tuple[str, ...] | None:
    """The names in the checkpoint's metadata; raises where they are not as many as there are classes."""
    data = meta.get("dataset_meta")
    places = {"meta.CLASSES": meta.get("CLASSES")}
    if isinstance(data, Mapping):
        places = {f"meta.dataset_meta.{key}": data.get(key) for key in ("classes", "CLASSES")} | places
    for place, names in places.items():
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            continue
        if len(names) != classes:
            raise EdgekitError(
                f"{path}: {place}: names {len(names)} classes, the weights have {classes}",
                "give the checkpoint as MMDetection wrote it",
            )
        return tuple(names)
    return None


def _new_names(tensors: Tensors, path: object) -> dict[str, str | None]:
    """Torchvision's name of each tensor."""
    shared = {found[1] for name in tensors if (found := re.match(r"roi_head\.bbox_head\.shared_convs\.(\d+)\.", name))}
    names = names_by_rules(tensors, _NAMES, _IGNORED, READ, path)
    for name, new in names.items():
        if new is None:
            continue
        # With convolutions one product follows them and what makes them flat: torchvision counts all as layers.
        names[name] = new.replace("box_head.fc6.", f"box_head.{len(shared) + 1}.") if shared else new
    return names

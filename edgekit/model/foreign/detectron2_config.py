"""Detectron2's config, or its zoo's for what none says: the settings, and what edgekit refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgekit.artifacts.detector_settings import ASSUMED
from edgekit.model.foreign.config_values import MISSING, ConfigFields
from edgekit.model.foreign.rearranging import rgb_statistics
from edgekit.model.structure.labels import DEPTHS
from edgekit.model.structure.tensor_shapes import BOXES, MASKS, Tensors

DEFAULT = "Detectron2's default"  # of what a config leaves out
ASSUMED_ZOO = f"{ASSUMED}: {DEFAULT}"  # without a config
ALWAYS = {"anchors_rounded": False, "rpn_score_threshold": 0.0, "norm_eps": 1e-5}  # no field changes these
# Smaller than any side of a box that is not empty: Detectron2 keeps proposals whose sides are above MIN_SIZE.
NOT_EMPTY = 1e-6
_BATCH_NORMS = ("FrozenBN", "BN", "SyncBN", "nnSyncBN", "naiveSyncBN", "naiveSyncBN_N")
_EXPECTED: dict[str, tuple[Any, ...]] = {
    "MODEL.META_ARCHITECTURE": ("GeneralizedRCNN",),
    "MODEL.BACKBONE.NAME": ("build_resnet_fpn_backbone",),
    "MODEL.RESNETS.RES5_DILATION": (1,),
    "MODEL.RESNETS.NORM": _BATCH_NORMS,
    "MODEL.FPN.NORM": ("", *_BATCH_NORMS),
    "MODEL.FPN.FUSE_TYPE": ("sum",),
    "MODEL.KEYPOINT_ON": (False,),
    "MODEL.LOAD_PROPOSALS": (False,),
    "MODEL.PROPOSAL_GENERATOR.NAME": ("RPN",),
    "MODEL.ANCHOR_GENERATOR.NAME": ("DefaultAnchorGenerator",),
    "MODEL.RPN.HEAD_NAME": ("StandardRPNHead",),
    "MODEL.ROI_HEADS.NAME": ("StandardROIHeads",),
    "MODEL.ROI_BOX_HEAD.NAME": ("FastRCNNConvFCHead",),
    "MODEL.ROI_BOX_HEAD.NORM": ("", *_BATCH_NORMS),
    "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE": (False,),
    "MODEL.ROI_BOX_HEAD.USE_FED_LOSS": (False,),
    "INPUT.FORMAT": ("BGR", "RGB"),
}
_EXPECTED_OF_MASKS: dict[str, tuple[Any, ...]] = {
    "MODEL.ROI_MASK_HEAD.NAME": ("MaskRCNNConvUpsampleHead",),
    "MODEL.ROI_MASK_HEAD.NORM": ("", *_BATCH_NORMS),
}
# Settings, the kind and name of their field, and what the zoo's models with FPN have.
_NUMBERS: dict[str, tuple[str, float]] = {
    "anchor_offset": ("MODEL.ANCHOR_GENERATOR.OFFSET", 0.0),
    "rpn_nms": ("MODEL.RPN.NMS_THRESH", 0.7),
    "score_threshold": ("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.05),
    "nms_threshold": ("MODEL.ROI_HEADS.NMS_THRESH_TEST", 0.5),
}
_WHOLE_NUMBERS: dict[str, tuple[str, int]] = {
    "rpn_pre_nms": ("MODEL.RPN.PRE_NMS_TOPK_TEST", 1000),
    "rpn_post_nms": ("MODEL.RPN.POST_NMS_TOPK_TEST", 1000),
    "roi_sampling": ("MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO", 0),
    "detections": ("TEST.DETECTIONS_PER_IMAGE", 100),
    "min_side": ("INPUT.MIN_SIZE_TEST", 800),
    "max_side": ("INPUT.MAX_SIZE_TEST", 1333),
}


@dataclass
class Detectron2Rules:
    """What the config or the zoo's says; its settings are in ``fields``."""

    fields: ConfigFields
    bgr: bool = True
    from_file: dict[str, Any] = field(default_factory=dict)


def detectron2_rules(
    fields: ConfigFields,
    zoo: bool,
    shapes: Mapping[str, Any],
    tensors: Tensors,
    classes: int,
    statistics: Mapping[str, tuple[float, ...]],
) -> Detectron2Rules:
    """The rules of a model whose shapes say ``shapes``; ``statistics`` are the file's own pixel_mean and pixel_std.

    A config that lacks a field means the default of Detectron2's code; ``zoo``: there is no config, which means the
    zoo's models with FPN.

    Raises EdgekitError for what edgekit does not read, and where the config and the tensors disagree.
    """
    expected = _EXPECTED | (_EXPECTED_OF_MASKS if shapes["masks"] else {})
    for name, supported in expected.items():
        fields.expect(name, *supported)
    deformed = fields.find("MODEL.RESNETS.DEFORM_ON_PER_STAGE", default=[])
    if not isinstance(deformed, list) or any(stage is not False for stage in deformed):
        fields.refuse("MODEL.RESNETS.DEFORM_ON_PER_STAGE", deformed, "ResNets without deformable convolutions")
    _check_shapes(fields, shapes)
    _check_classes(fields, shapes, tensors, classes)
    for setting, (name, number) in _NUMBERS.items():
        fields.take(setting, fields.number(name), number)
    for setting, (name, count) in _WHOLE_NUMBERS.items():
        fields.take(setting, fields.whole(name), count)
    if not zoo and "rpn_pre_nms" in fields.assumed:
        fields.assumed["rpn_pre_nms"] = 6000
    if shapes["masks"]:
        fields.take("mask_bins", fields.whole("MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION"), 14)
    _take_rpn(fields, shapes)
    _take_pooling(fields, shapes)
    rules = Detectron2Rules(fields)
    _take_pixels(rules, zoo and shapes["groups"] > 1, statistics)
    return rules


def _check_shapes(fields: ConfigFields, shapes: Mapping[str, Any]) -> None:
    depth = fields.whole("MODEL.RESNETS.DEPTH")
    if depth is not MISSING and depth not in DEPTHS:
        fields.refuse("MODEL.RESNETS.DEPTH", depth, "ResNets of depth 18, 34, 50, 101 and 152")
    if depth is not MISSING and DEPTHS[depth] != (shapes["blocks"], shapes["bottleneck"]):
        fields.agree("MODEL.RESNETS.DEPTH", depth, shapes["blocks"], "blocks")
    convs = len(shapes["box_convs"])
    compared = {
        "MODEL.RESNETS.NUM_GROUPS": (shapes["groups"], "groups"),
        "MODEL.RESNETS.RES2_OUT_CHANNELS": (shapes["stage_channels"][0], "channels"),
        "MODEL.RESNETS.STEM_OUT_CHANNELS": (shapes["stem_channels"], "channels"),
        "MODEL.FPN.OUT_CHANNELS": (shapes["fpn_channels"], "channels"),
        "MODEL.ROI_BOX_HEAD.NUM_CONV": (convs, "convolutions"),
        "MODEL.ROI_BOX_HEAD.NUM_FC": (1 if convs else 2, "products"),
        "MODEL.ROI_BOX_HEAD.FC_DIM": (shapes["box_features"], "features"),
        "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": (shapes["box_bins"], "bins"),
    }
    if shapes["masks"]:
        compared["MODEL.ROI_MASK_HEAD.NUM_CONV"] = (len(shapes["mask_convs"]), "convolutions")
        compared["MODEL.ROI_MASK_HEAD.CONV_DIM"] = (shapes["mask_hidden"], "channels")
    for name, (found, what) in compared.items():
        fields.agree(name, fields.whole(name), found, what)
    fields.agree("MODEL.MASK_ON", fields.flag("MODEL.MASK_ON"), shapes["masks"], "a mask head:")


def _check_classes(fields: ConfigFields, shapes: Mapping[str, Any], tensors: Tensors, classes: int) -> None:
    name = "MODEL.ROI_HEADS.NUM_CLASSES"
    fields.agree(name, fields.whole(name), classes, "class rows without background:")
    if classes == 1:
        return  # rows for one class are rows for every class
    name = "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG"
    fields.agree(name, fields.flag(name), len(tensors[f"{BOXES}.weight"]) == 4, "class-agnostic boxes:")
    if shapes["masks"]:
        name = "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK"
        fields.agree(name, fields.flag(name), len(tensors[f"{MASKS}.weight"]) == 1, "class-agnostic masks:")


def _take_rpn(fields: ConfigFields, shapes: Mapping[str, Any]) -> None:
    weights = fields.numbers("MODEL.RPN.BBOX_REG_WEIGHTS")
    if weights is not MISSING and set(weights) != {1}:
        fields.refuse("MODEL.RPN.BBOX_REG_WEIGHTS", weights, "weights of 1")
    smallest = fields.number("MODEL.PROPOSAL_GENERATOR.MIN_SIZE")
    fields.take("rpn_min_size", smallest if smallest is MISSING else max(smallest, NOT_EMPTY), NOT_EMPTY)
    stages = [int(level.removeprefix("layer")) + 1 for level in shapes["levels"]]
    outputs = [f"p{stage}" for stage in stages]
    inputs = fields.texts("MODEL.FPN.IN_FEATURES")
    fields.agree("MODEL.FPN.IN_FEATURES", inputs, tuple(f"res{stage}" for stage in stages), "those of")
    taken = fields.texts("MODEL.RPN.IN_FEATURES")
    if taken is not MISSING and taken not in ((*outputs, "p6"), tuple(outputs)):
        fields.refuse("MODEL.RPN.IN_FEATURES", taken, f"an RPN on {', '.join(outputs)} (and p6)")
    pooled = taken is MISSING or "p6" in taken
    fields.take("extra_level", taken if taken is MISSING else ("pool" if pooled else "none"), "pool")
    levels = len(outputs) + pooled
    _take_anchors(fields, levels, stages[0])
    pooling = fields.texts("MODEL.ROI_HEADS.IN_FEATURES")
    if pooling is not MISSING and (not pooling or pooling != tuple(p for p in outputs if p in pooling)):
        fields.refuse("MODEL.ROI_HEADS.IN_FEATURES", pooling, f"levels of {', '.join(outputs)}")
    default = tuple(str(level) for level in range(len(outputs)))
    names = MISSING if pooling is MISSING else tuple(str(outputs.index(level)) for level in pooling)
    fields.take("roi_levels", names, default)


def _take_anchors(fields: ConfigFields, levels: int, first_stage: int) -> None:
    sizes = tuple((float(2 ** (first_stage + 3 + level)),) for level in range(levels))
    for setting, key, default in (
        ("anchor_sizes", "SIZES", sizes),
        ("anchor_ratios", "ASPECT_RATIOS", ((0.5, 1.0, 2.0),) * levels),
    ):
        said = fields.lists(f"MODEL.ANCHOR_GENERATOR.{key}")
        if said is not MISSING and len(said) == 1:
            said = said * levels
        if said is not MISSING and (len(said) != levels or not all(said)):
            fields.refuse(f"MODEL.ANCHOR_GENERATOR.{key}", said, f"one list, or {levels}")
        fields.take(setting, said, default)


def _take_pooling(fields: ConfigFields, shapes: Mapping[str, Any]) -> None:
    aligned = fields.text("MODEL.ROI_BOX_HEAD.POOLER_TYPE")
    box = (aligned, fields.whole("MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO"))
    fields.expect("MODEL.ROI_BOX_HEAD.POOLER_TYPE", "ROIAlignV2", "ROIAlign")
    if shapes["masks"]:
        keys = ("POOLER_TYPE", "POOLER_SAMPLING_RATIO")
        for key, said, default in zip(keys, box, ("ROIAlignV2", 0), strict=True):
            mask = fields.find(f"MODEL.ROI_MASK_HEAD.{key}", default=default)
            if mask != (default if said is MISSING else said):
                fields.refuse(f"MODEL.ROI_MASK_HEAD.{key}", mask, "one way of pooling for boxes and masks")
    fields.take("roi_aligned", aligned if aligned is MISSING else aligned == "ROIAlignV2", True)
    fields.take("box_weights", fields.numbers("MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS"), (10.0, 10.0, 5.0, 5.0))


def _take_pixels(rules: Detectron2Rules, zoo_resnext: bool, statistics: Mapping[str, tuple[float, ...]]) -> None:
    """The channel order, mean, std and strides; the zoo's ResNeXts are other people's than its ResNets."""
    fields = rules.fields
    order = fields.text("INPUT.FORMAT")
    rules.bgr = order in (MISSING, "BGR")
    defaults = {
        "pixel_mean": (103.53, 116.28, 123.675),
        "pixel_std": (57.375, 57.12, 58.395) if zoo_resnext else (1.0, 1.0, 1.0),
    }
    for setting, key in (("mean", "pixel_mean"), ("std", "pixel_std")):
        name = f"MODEL.{key.upper()}"
        said = fields.numbers(name)
        if said is not MISSING and len(said) != 3:
            fields.refuse(name, said, "three channels")
        own = statistics.get(key)
        if said is not MISSING and own is not None and any(abs(a - b) > 1e-3 for a, b in zip(said, own, strict=True)):
            fields.agree(name, said, own, key)
        value = said if said is not MISSING else own or defaults[key]
        scaled = rgb_statistics(value, value, rules.bgr)[setting]
        if said is MISSING and own is not None:
            rules.from_file[setting] = scaled
        else:
            fields.take(setting, said if said is MISSING else scaled, scaled)
    fields.take("stride_in_1x1", fields.flag("MODEL.RESNETS.STRIDE_IN_1X1"), not zoo_resnext)

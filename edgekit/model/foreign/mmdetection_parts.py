"""The parts and sizes in MMDetection's config, against what edgekit reads and what the weights have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgekit.model.foreign.config_values import MISSING, ConfigFields
from edgekit.model.structure.labels import DEPTHS
from edgekit.model.structure.tensor_shapes import BOXES, MASKS, Tensors

_NORMS = ("BN", "SyncBN", "MMSyncBN", "BN2d", "NaiveSyncBatchNorm2d")
_BOX_CODERS = ("DeltaXYWHBBoxCoder",)
# The number of convolutions that each kind of box head has, None where a field says it.
_BOX_HEADS = {"Shared2FCBBoxHead": 0, "Shared4Conv1FCBBoxHead": 4, "ConvFCBBoxHead": None}
# Types that have to be there, by the place of what they are the type of.
_TYPES: dict[str, tuple[str, ...]] = {
    "model": ("MaskRCNN", "FasterRCNN"),
    "model.backbone": ("ResNet", "ResNeXt"),
    "model.neck": ("FPN",),
    "model.rpn_head": ("RPNHead",),
    "model.rpn_head.anchor_generator": ("AnchorGenerator",),
    "model.roi_head": ("StandardRoIHead",),
    "model.roi_head.bbox_head": tuple(_BOX_HEADS),
    "model.roi_head.bbox_roi_extractor": ("SingleRoIExtractor",),
}
_MASK_TYPES: dict[str, tuple[str, ...]] = {
    "model.roi_head.mask_head": ("FCNMaskHead",),
    "model.roi_head.mask_roi_extractor": ("SingleRoIExtractor",),
}
# Fields that may be left out, and the values that edgekit reads.
_VALUES: dict[str, tuple[Any, ...]] = {
    "model.backbone.style": ("pytorch", "caffe"),
    "model.backbone.norm_cfg.type": _NORMS,
    "model.backbone.num_stages": (4,),
    "model.backbone.deep_stem": (False,),
    "model.backbone.avg_down": (False,),
    "model.backbone.dcn": (None,),
    "model.backbone.plugins": (None,),
    "model.neck.add_extra_convs": (False,),
    "model.neck.end_level": (-1,),
    "model.neck.act_cfg": (None,),
    "model.neck.norm_cfg.type": _NORMS,
    "model.neck.upsample_cfg.mode": ("nearest",),
    "model.rpn_head.bbox_coder.type": _BOX_CODERS,
    "model.rpn_head.loss_cls.use_sigmoid": (True,),
    "model.roi_head.shared_head": (None,),
    "model.roi_head.bbox_head.bbox_coder.type": _BOX_CODERS,
    "model.roi_head.bbox_head.loss_cls.use_sigmoid": (False,),
    "model.roi_head.bbox_head.loss_cls.type": ("CrossEntropyLoss",),
    "model.roi_head.bbox_head.norm_cfg.type": _NORMS,
    "model.roi_head.bbox_head.cls_predictor_cfg.type": ("Linear",),
    "model.roi_head.bbox_head.reg_predictor_cfg.type": ("Linear",),
    "model.roi_head.bbox_head.with_avg_pool": (False,),
    "model.roi_head.bbox_roi_extractor.finest_scale": (56,),
}
_MASK_VALUES: dict[str, tuple[Any, ...]] = {
    "model.roi_head.mask_head.norm_cfg.type": _NORMS,
    "model.roi_head.mask_head.upsample_cfg.type": ("deconv",),
    "model.roi_head.mask_head.upsample_cfg.scale_factor": (2,),
    "model.roi_head.mask_head.conv_kernel_size": (3,),
    "model.roi_head.mask_head.predictor_cfg.type": ("Conv",),
    "model.roi_head.mask_roi_extractor.finest_scale": (56,),
}


def expect_parts(fields: ConfigFields, masks: bool) -> None:
    """Raise for a part of a kind that edgekit does not read; ``masks`` are in the weights."""
    for place, types in {**_TYPES, **(_MASK_TYPES if masks else {})}.items():
        said = fields.text(f"{place}.type")
        kind = said if said is MISSING else said.rsplit(".", 1)[-1]  # "mmdet.MaskRCNN" names a registry too
        if kind not in types:
            fields.refuse(f"{place}.type", None if said is MISSING else said, " or ".join(types))
    kind = fields.text("model.type").rsplit(".", 1)[-1]
    fields.agree("model.type", kind, "MaskRCNN" if masks else "FasterRCNN", "the parts of")
    for name, values in {**_VALUES, **(_MASK_VALUES if masks else {})}.items():
        fields.expect(name, *values)
    for name, values in {"strides": (1, 2, 2, 2), "dilations": (1, 1, 1, 1), "out_indices": (0, 1, 2, 3)}.items():
        said = fields.numbers(f"model.backbone.{name}")
        if said not in (MISSING, values):
            fields.refuse(f"model.backbone.{name}", said, f"{list(values)}")
    for name in ("stage_with_dcn", "stage_with_gcb", "stage_with_gen_attention"):
        stages = fields.find(f"model.backbone.{name}", default=None)
        if stages is not None and any(stage is not False for stage in stages):
            fields.refuse(f"model.backbone.{name}", stages, "stages of plain blocks")
    _expect_coders(fields)


def _expect_coders(fields: ConfigFields) -> None:
    for head in ("rpn_head", "roi_head.bbox_head"):
        places = [f"model.{head}.bbox_coder", f"model.{head}"]
        means = fields.numbers(*(f"{place}.target_means" for place in places))
        if means is not MISSING and set(means) != {0}:
            fields.refuse(f"{places[0]}.target_means", means, "means of 0")
        fields.expect(f"{places[0]}.add_ctr_clamp", False)
        fields.expect(f"{places[0]}.clip_border", True)
    stds = fields.numbers("model.rpn_head.bbox_coder.target_stds", "model.rpn_head.target_stds")
    if stds is not MISSING and set(stds) != {1}:
        fields.refuse("model.rpn_head.bbox_coder.target_stds", stds, "standard deviations of 1")


def expect_shapes(fields: ConfigFields, shapes: Mapping[str, Any], tensors: Tensors, classes: int) -> None:
    """Raise where a size in the config is not that of the weights."""
    depth = fields.whole("model.backbone.depth")
    if depth not in DEPTHS:
        fields.refuse("model.backbone.depth", None if depth is MISSING else depth, "depths of 18, 34, 50, 101 and 152")
    if DEPTHS[depth] != (shapes["blocks"], shapes["bottleneck"]):
        fields.agree("model.backbone.depth", depth, shapes["blocks"], "blocks")
    head, mask = "model.roi_head.bbox_head", "model.roi_head.mask_head"
    compared = {
        "model.backbone.groups": (shapes["groups"], "groups"),
        "model.neck.out_channels": (shapes["fpn_channels"], "channels"),
        "model.neck.start_level": (4 - len(shapes["levels"]), "a first level of"),
        "model.rpn_head.feat_channels": (shapes["fpn_channels"], "channels"),
        f"{head}.fc_out_channels": (shapes["box_features"], "features"),
        f"{head}.roi_feat_size": (shapes["box_bins"], "bins"),
        f"{head}.num_classes": (classes, "class rows without background:"),
    }
    kind = fields.text(f"{head}.type")
    convs = _BOX_HEADS.get(kind.rsplit(".", 1)[-1])
    if convs not in (None, len(shapes["box_convs"])):
        fields.agree(f"{head}.type", kind, len(shapes["box_convs"]), "convolutions:")
    compared[f"{head}.num_shared_convs"] = (len(shapes["box_convs"]), "convolutions")
    if shapes["masks"]:
        compared[f"{mask}.num_convs"] = (len(shapes["mask_convs"]), "convolutions")
        compared[f"{mask}.num_classes"] = (classes, "classes of boxes:")
    for name, (found, what) in compared.items():
        fields.agree(name, fields.whole(name), found, what)
    layer = "model.roi_head.bbox_roi_extractor.roi_layer"
    bins = fields.whole(f"{layer}.output_size", f"{layer}.out_size")
    fields.agree(f"{layer}.output_size", bins, shapes["box_bins"], "bins")
    if classes > 1:
        name = f"{head}.reg_class_agnostic"
        fields.agree(name, fields.flag(name), len(tensors[f"{BOXES}.weight"]) == 4, "class-agnostic boxes:")
        if shapes["masks"]:
            name = f"{mask}.class_agnostic"
            fields.agree(name, fields.flag(name), len(tensors[f"{MASKS}.weight"]) == 1, "class-agnostic masks:")

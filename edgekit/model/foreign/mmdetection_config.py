"""MMDetection's config, of version 2 or 3: the settings of a model, and what edgekit refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.artifacts.detector_settings import ASSUMED
from edgekit.model.foreign.config_values import MISSING, ConfigFields
from edgekit.model.foreign.mmdetection_parts import expect_parts, expect_shapes
from edgekit.model.foreign.mmdetection_photos import PhotoRules, photo_rules
from edgekit.model.structure.tensor_shapes import Tensors

_DEFAULT = "MMDetection's default"
# What MMDetection's code does where a config leaves it out; other values that are left out are assumed.
_BY_CODE = ("stride_in_1x1", "norm_eps", "anchor_offset", "roi_sampling", "roi_aligned", "rpn_min_size")
ALWAYS_MMDETECTION = {
    "anchors_rounded": False,
    "rpn_score_threshold": 0.0,
    "symmetric_clamp": True,
    "rpn_by_score": True,
}  # no field changes these
# Smaller than any side of a box that is not empty: MMDetection keeps proposals whose sides are above min_bbox_size.
_NOT_EMPTY = 1e-6
_RPN, _ROI, _ANCHORS = "model.rpn_head", "model.roi_head", "model.rpn_head.anchor_generator"


@dataclass
class MmdetectionRules:
    """What the config says beside its settings."""

    bgr: bool
    scales_outer: bool  # anchors go through scales, then ratios
    assumed: Mapping[str, Mapping[str, Any]]  # settings that the config leaves out, by origin
    notes: dict[str, str]


def mmdetection_rules(
    fields: ConfigFields, shapes: Mapping[str, Any], tensors: Tensors, classes: int
) -> MmdetectionRules:
    """Take the settings of a model whose shapes say ``shapes`` into ``fields``.

    Raises EdgekitError for what edgekit does not read, and where the config and the tensors disagree.
    """
    expect_parts(fields, shapes["masks"])
    expect_shapes(fields, shapes, tensors, classes)
    style = fields.text("model.backbone.style")
    fields.take("stride_in_1x1", style if style is MISSING else style == "caffe", False)
    fields.take("norm_eps", fields.number("model.backbone.norm_cfg.eps"), 1e-5)
    scales_outer = _take_anchors(fields, len(shapes["levels"]))
    _take_proposals(fields)
    _take_pooling(fields, shapes)
    _take_detections(fields)
    photos: PhotoRules = photo_rules(fields, style == "caffe")
    by_code = {name: value for name, value in fields.assumed.items() if name in _BY_CODE}
    others = {name: value for name, value in fields.assumed.items() if name not in _BY_CODE}
    assumed = {_DEFAULT: by_code, f"{ASSUMED}: {_DEFAULT}": others}
    return MmdetectionRules(photos.bgr, scales_outer, assumed, photos.notes)


def _take_anchors(fields: ConfigFields, fpn_levels: int) -> bool:
    """Anchors, and whether their scales are outer, ratios inner."""
    strides = fields.numbers(f"{_ANCHORS}.strides", f"{_RPN}.anchor_strides")
    first = 2 ** (6 - fpn_levels)  # of the levels, which end with the ResNet's stride of 32
    expected = tuple(first * 2**level for level in range(fpn_levels + 1))
    if strides not in (expected, expected[:-1]):
        fields.refuse(f"{_ANCHORS}.strides", strides, f"strides of {list(expected)} or {list(expected[:-1])}")
    outs = fields.whole("model.neck.num_outs")
    if outs != len(strides):
        fields.refuse("model.neck.num_outs", outs, f"as many as {_ANCHORS}.strides ({len(strides)})")
    fields.take("extra_level", "none" if strides == expected[:-1] else "pool", "pool")
    bases = fields.find(f"{_ANCHORS}.base_sizes", default=None)
    bases = strides if bases is None else fields.numbers(f"{_ANCHORS}.base_sizes")
    if len(bases) != len(strides):
        fields.refuse(f"{_ANCHORS}.base_sizes", bases, f"{len(strides)} sizes")
    offset = fields.number(f"{_ANCHORS}.center_offset")
    if offset not in (MISSING, 0) and bases != strides:
        fields.refuse(f"{_ANCHORS}.center_offset", offset, "an offset of anchors as large as the strides only")
    if fields.find(f"{_ANCHORS}.centers", default=None) is not None:
        fields.refuse(f"{_ANCHORS}.centers", fields.find(f"{_ANCHORS}.centers"), "anchors in the cells' corners")
    fields.take("anchor_offset", offset, 0.0)
    scales = _anchor_scales(fields)
    ratios = fields.numbers(f"{_ANCHORS}.ratios", f"{_RPN}.anchor_ratios")
    if ratios is MISSING or not ratios:
        fields.refuse(f"{_ANCHORS}.ratios", None, "a list of ratios")
    fields.take("anchor_sizes", tuple(tuple(base * scale for scale in scales) for base in bases), None)
    fields.take("anchor_ratios", (ratios,) * len(strides), None)
    return fields.flag(f"{_ANCHORS}.scale_major") is False


def _anchor_scales(fields: ConfigFields) -> tuple[float, ...]:
    if fields.find(f"{_ANCHORS}.scales", default=None) is not None:
        scales = fields.find(f"{_ANCHORS}.scales")
        if isinstance(scales, int | float):
            return (scales,)
        return fields.numbers(f"{_ANCHORS}.scales")
    base = fields.number(f"{_ANCHORS}.octave_base_scale")
    count = fields.whole(f"{_ANCHORS}.scales_per_octave")
    if base is MISSING or count is MISSING or not 1 <= count <= 16:
        fields.refuse(f"{_ANCHORS}.scales", None, "scales, or octave_base_scale and scales_per_octave")
    return tuple(base * 2 ** (step / count) for step in range(count))


def _take_proposals(fields: ConfigFields) -> None:
    """What the RPN keeps; ``test_cfg`` stands in ``model``, or beside it in files of early versions 2."""
    places = [place for place in ("model.test_cfg.rpn", "test_cfg.rpn") if fields.find(place) is not MISSING]
    place = places[0] if places else "model.test_cfg.rpn"
    fields.expect(f"{place}.nms_across_levels", False)
    fields.expect(f"{place}.nms.type", "nms", unless="nms")
    fields.expect(f"{place}.nms.class_agnostic", False)
    fields.take("rpn_pre_nms", fields.whole(f"{place}.nms_pre"), 1000)
    kept = fields.whole(f"{place}.max_per_img", f"{place}.max_num", f"{place}.nms_post")
    fields.take("rpn_post_nms", kept, 1000)
    threshold = fields.number(f"{place}.nms.iou_threshold", f"{place}.nms.iou_thr", f"{place}.nms_thr")
    fields.take("rpn_nms", threshold, 0.7)
    smallest = fields.number(f"{place}.min_bbox_size")
    if smallest is not MISSING:
        smallest = max(smallest, _NOT_EMPTY) if smallest >= 0 else 0.0
    fields.take("rpn_min_size", smallest, 0.0)


def _take_detections(fields: ConfigFields) -> None:
    places = ("model.test_cfg.rcnn", "test_cfg.rcnn", "model.roi_head.test_cfg")
    place = next((place for place in places if fields.find(place) is not MISSING), places[0])
    fields.expect(f"{place}.nms.type", "nms", unless="nms")
    fields.expect(f"{place}.nms.class_agnostic", False)
    fields.take("score_threshold", fields.number(f"{place}.score_thr"), 0.05)
    fields.take("nms_threshold", fields.number(f"{place}.nms.iou_threshold", f"{place}.nms.iou_thr"), 0.5)
    fields.take("detections", fields.whole(f"{place}.max_per_img"), 100)
    coder = f"{_ROI}.bbox_head.bbox_coder.target_stds"
    stds = fields.numbers(coder, f"{_ROI}.bbox_head.target_stds")
    if stds is not MISSING and (len(stds) != 4 or min(stds) <= 0):
        fields.refuse(coder, stds, "four numbers above 0")
    fields.take("box_weights", stds if stds is MISSING else tuple(1 / s for s in stds), (10.0, 10.0, 5.0, 5.0))


def _take_pooling(fields: ConfigFields, shapes: Mapping[str, Any]) -> None:
    found: dict[str, tuple[Any, ...]] = {}
    for head in ("bbox", "mask") if shapes["masks"] else ("bbox",):
        layer = f"{_ROI}.{head}_roi_extractor.roi_layer"
        fields.expect(f"{layer}.type", "RoIAlign")
        fields.expect(f"{layer}.pool_mode", "avg")
        sampling = fields.whole(f"{layer}.sampling_ratio", f"{layer}.sample_num")
        found[head] = (sampling, fields.flag(f"{layer}.aligned"))
        strides = fields.numbers(f"{_ROI}.{head}_roi_extractor.featmap_strides")
        first = 2 ** (6 - len(shapes["levels"]))
        if strides is MISSING or not strides or strides != tuple(first * 2**i for i in range(len(strides))):
            fields.refuse(f"{_ROI}.{head}_roi_extractor.featmap_strides", strides, f"strides from {first} up")
        if len(strides) > len(shapes["levels"]):
            fields.refuse(f"{_ROI}.{head}_roi_extractor.featmap_strides", strides, "pooling of the FPN's own levels")
        found[head] += (strides,)
    if found.get("mask", found["bbox"]) != found["bbox"]:
        fields.refuse(f"{_ROI}.mask_roi_extractor", found["mask"], "one way of pooling for boxes and masks")
    sampling, aligned, strides = found["bbox"]
    fields.take("roi_sampling", sampling, 0)
    fields.take("roi_aligned", aligned, True)
    fields.take("roi_levels", tuple(str(level) for level in range(len(strides))), None)
    if shapes["masks"]:
        layer = f"{_ROI}.mask_roi_extractor.roi_layer"
        fields.take("mask_bins", fields.whole(f"{layer}.output_size", f"{layer}.out_size"), 14)

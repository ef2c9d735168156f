"""What Detectron2 and MMDetection compute, written plainly over their own tensors with torchvision's operators.

Nothing of edgekit is used. For photos of a few hundred pixels; a photo is taken as it is, without resizing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import batched_nms, clip_boxes_to_image, roi_align

Tensors = Mapping[str, Tensor]
CLAMP = math.log(1000 / 16)  # of the logarithm of a side's growth


@dataclass(frozen=True)
class Found:
    """Detections, best first: boxes [D, 4] xyxy in pixels, scores [D], classes [D] from 0, masks [D, 28, 28]."""

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    masks: Tensor | None


@dataclass(frozen=True)
class Plan:
    """Where a framework keeps its tensors and by which numbers it goes; all names are without ``.weight``."""

    conv: Callable[[str], str]  # of "stem", "1.0.conv1", "1.0.shortcut"
    norm: Callable[[str], str]
    blocks: tuple[int, ...]
    groups: int
    stride_in_1x1: bool
    lateral: tuple[str, ...]
    output: tuple[str, ...]
    rpn: tuple[str, str, str]  # convolution, objectness, deltas
    anchors: tuple[Tensor, ...]  # [A, 4] of each level, around 0
    rpn_numbers: tuple[int, int, float]  # before NMS, after it, its threshold
    by_probability: bool  # proposals are ordered by sigmoids, in which large logits are equal, or by logits
    box_convs: tuple[tuple[str, str], ...]  # each with its norm
    products: tuple[str, ...]
    predictors: tuple[str, str]
    mask_convs: tuple[str, ...]
    mask_ends: tuple[str, str]
    aligned: bool
    sampling: int
    box_weights: tuple[float, ...]
    numbers: tuple[float, float, int]  # score threshold, NMS threshold, detections
    bgr: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]


@torch.no_grad()
def detect(t: Tensors, plan: Plan, image: Tensor) -> Found:
    """Detections in a photo, uint8 RGB [H, W, 3]."""
    size = (image.shape[0], image.shape[1])
    levels = pyramid(t, plan, prepared(image, plan))
    proposals = propose(t, plan, levels, size)
    pooled = pool(levels[:-1], proposals, 7, plan)
    for conv, norm in plan.box_convs:
        pooled = functional.relu(normed(t, norm, functional.conv2d(pooled, *layer(t, conv), padding=1)))
    pooled = pooled.flatten(1)
    for name in plan.products:
        pooled = functional.relu(functional.linear(pooled, t[f"{name}.weight"], t[f"{name}.bias"]))
    logits, deltas = (functional.linear(pooled, t[f"{n}.weight"], t[f"{n}.bias"]) for n in plan.predictors)
    scores = logits.softmax(1)[:, :-1]  # the background is last
    deltas = deltas.reshape(len(deltas), -1, 4).expand(-1, scores.shape[1], 4)
    boxes = decode(proposals[:, None].expand_as(deltas), deltas, plan.box_weights)
    boxes = clip_boxes_to_image(boxes.reshape(-1, 4), size).reshape(boxes.shape)
    threshold, nms, count = plan.numbers
    rows, classes = (scores > threshold).nonzero(as_tuple=True)
    boxes, scores = boxes[rows, classes], scores[rows, classes]
    kept = batched_nms(boxes, scores, classes, nms)[:count]
    boxes, scores, classes = boxes[kept], scores[kept], classes[kept]
    return Found(boxes, scores, classes, masks(t, plan, levels, boxes, classes) if plan.mask_convs else None)


def prepared(image: Tensor, plan: Plan) -> Tensor:
    """A photo normalised, in the framework's channel order, padded with 0 to multiples of 32."""
    pixels = image.permute(2, 0, 1).float()
    pixels = pixels.flip(0) if plan.bgr else pixels
    pixels = (pixels - torch.tensor(plan.mean)[:, None, None]) / torch.tensor(plan.std)[:, None, None]
    height, width = pixels.shape[1:]
    return functional.pad(pixels, (0, -width % 32, 0, -height % 32))[None]


def pyramid(t: Tensors, plan: Plan, x: Tensor, seen: Callable[[str, Tensor], None] | None = None) -> list[Tensor]:
    """The FPN's levels, the coarsest pooled from the one before; ``seen`` is told what each norm gets."""

    def conv_norm(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = t[f"{plan.conv(name)}.weight"]
        groups = plan.groups if name.endswith("conv2") and plan.groups > 1 else 1
        x = functional.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, groups)
        norm = plan.norm(name)
        if seen is not None:
            seen(norm, x)
        return normed(t, norm, x)

    x = functional.max_pool2d(functional.relu(conv_norm("stem", x, 2)), 3, 2, 1)
    stages = []
    for stage, count in enumerate(plan.blocks, 1):
        for block in range(count):
            stride = 2 if stage > 1 and block == 0 else 1
            first, second = (stride, 1) if plan.stride_in_1x1 else (1, stride)
            name = f"{stage}.{block}"
            shortcut = conv_norm(f"{name}.shortcut", x, stride) if block == 0 else x
            out = functional.relu(conv_norm(f"{name}.conv1", x, first))
            out = functional.relu(conv_norm(f"{name}.conv2", out, second))
            x = functional.relu(conv_norm(f"{name}.conv3", out) + shortcut)
        stages.append(x)
    return _fpn(t, plan, stages)


def normed(t: Tensors, norm: str, x: Tensor) -> Tensor:
    """The output of a batch norm, or the input where the model has none of this name."""
    if f"{norm}.weight" not in t:
        return x
    mean, var = t[f"{norm}.running_mean"], t[f"{norm}.running_var"]
    return functional.batch_norm(x, mean, var, t[f"{norm}.weight"], t[f"{norm}.bias"], eps=1e-5)


def layer(t: Tensors, name: str) -> tuple[Tensor, Tensor | None]:
    """A layer's weight and, where it has one, its bias."""
    return t[f"{name}.weight"], t.get(f"{name}.bias")


def _fpn(t: Tensors, plan: Plan, stages: list[Tensor]) -> list[Tensor]:
    levels: list[Tensor] = []
    above: Tensor | None = None
    for x, lateral, output in reversed(list(zip(stages, plan.lateral, plan.output, strict=True))):
        inner = functional.conv2d(x, t[f"{lateral}.weight"], t[f"{lateral}.bias"])
        if above is not None:
            inner = inner + functional.interpolate(above, size=inner.shape[-2:], mode="nearest")
        above = inner
        levels.insert(0, functional.conv2d(inner, t[f"{output}.weight"], t[f"{output}.bias"], padding=1))
    return [*levels, levels[-1][:, :, ::2, ::2]]


def propose(t: Tensors, plan: Plan, levels: list[Tensor], size: tuple[int, int]) -> Tensor:
    """The RPN's proposals [P, 4], best first."""
    before, after, threshold = plan.rpn_numbers
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for level, (x, base) in enumerate(zip(levels, plan.anchors, strict=True)):
        stride = 4 * 2**level
        hidden, objectness, deltas = plan.rpn
        x = functional.relu(functional.conv2d(x, t[f"{hidden}.weight"], t[f"{hidden}.bias"], padding=1))
        logits = functional.conv2d(x, t[f"{objectness}.weight"], t[f"{objectness}.bias"])[0]
        moves = functional.conv2d(x, t[f"{deltas}.weight"], t[f"{deltas}.bias"])[0]
        rows, columns = logits.shape[1:]
        y, x_ = torch.meshgrid(torch.arange(rows) * stride, torch.arange(columns) * stride, indexing="ij")
        corners = torch.stack([x_, y, x_, y], -1)[:, :, None] + base  # [rows, columns, A, 4]
        moves = moves.reshape(len(base), 4, rows, columns).permute(2, 3, 0, 1).reshape(-1, 4)
        scores = logits.sigmoid() if plan.by_probability else logits
        scores, best = scores.permute(1, 2, 0).flatten().sort(descending=True)
        best = best[:before]
        boxes = decode(corners.reshape(-1, 4)[best], moves[best], (1.0,) * 4)
        boxes = clip_boxes_to_image(boxes, size)
        filled = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)
        found.append((boxes[filled], scores[:before][filled], torch.full((int(filled.sum()),), level)))
    boxes, scores, of = (torch.cat(parts) for parts in zip(*found, strict=True))
    return boxes[batched_nms(boxes, scores, of, threshold)[:after]]


def decode(boxes: Tensor, deltas: Tensor, weights: tuple[float, ...]) -> Tensor:
    """Boxes moved by deltas, both [..., 4]."""
    sides = boxes[..., 2:] - boxes[..., :2]
    deltas = deltas / torch.tensor(weights)
    centres = boxes[..., :2] + sides / 2 + deltas[..., :2] * sides
    half = deltas[..., 2:].clamp(max=CLAMP).exp() * sides / 2
    return torch.cat([centres - half, centres + half], -1)


def pool(levels: list[Tensor], boxes: Tensor, bins: int, plan: Plan) -> Tensor:
    """RoI features [P, C, bins, bins], each from the level that a box's size says."""
    sides = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    of = (torch.log2(sides / 224 + 1e-8) + 4).floor().clamp(2, 5).long() - 2
    pooled = boxes.new_zeros(len(boxes), levels[0].shape[1], bins, bins)
    for level, x in enumerate(levels):
        own = of == level
        pooled[own] = roi_align(x, [boxes[own]], bins, 1 / (4 * 2**level), plan.sampling, plan.aligned)
    return pooled


def masks(t: Tensors, plan: Plan, levels: list[Tensor], boxes: Tensor, classes: Tensor) -> Tensor:
    """Probabilities [D, 28, 28] of the classes that were found."""
    x = pool(levels[:-1], boxes, 14, plan)
    for name in plan.mask_convs:
        x = functional.relu(functional.conv2d(x, t[f"{name}.weight"], t[f"{name}.bias"], padding=1))
    hidden, last = plan.mask_ends
    x = functional.relu(functional.conv_transpose2d(x, t[f"{hidden}.weight"], t[f"{hidden}.bias"], 2))
    x = functional.conv2d(x, t[f"{last}.weight"], t[f"{last}.bias"]).sigmoid()
    return x[torch.arange(len(x)), classes if x.shape[1] > 1 else torch.zeros_like(classes)]


def anchors(sizes: list[float], ratios: list[float], ratios_outer: bool) -> Tensor:
    """Anchors [A, 4] around 0, not rounded; ratios are height / width."""
    pairs = [(s, r) for r in ratios for s in sizes] if ratios_outer else [(s, r) for s in sizes for r in ratios]
    sides = torch.tensor([(s / math.sqrt(r), s * math.sqrt(r)) for s, r in pairs])
    return torch.cat([-sides / 2, sides / 2], 1)


def detectron2_plan(t: Tensors, config: Mapping[str, Any]) -> Plan:
    """Detectron2's names, with the numbers of its config."""
    model = config["MODEL"]
    rpn, roi, box, body = (model[name] for name in ("RPN", "ROI_HEADS", "ROI_BOX_HEAD", "RESNETS"))
    generator, bottom = model["ANCHOR_GENERATOR"], "backbone.bottom_up"
    sizes, ratios = generator["SIZES"], generator["ASPECT_RATIOS"]
    sizes, ratios = (v * 5 if len(v) == 1 else v for v in (sizes, ratios))

    def conv(name: str) -> str:
        stage, _, rest = name.partition(".")
        return f"{bottom}.stem.conv1" if name == "stem" else f"{bottom}.res{int(stage) + 1}.{rest}"

    return Plan(
        conv=conv,
        norm=lambda name: f"{conv(name)}.norm",
        blocks=tuple(len([n for n in t if _is_block(n, f"{bottom}.res{s}.")]) for s in range(2, 6)),
        groups=body["NUM_GROUPS"],
        stride_in_1x1=body["STRIDE_IN_1X1"],
        lateral=tuple(f"backbone.fpn_lateral{s}" for s in range(2, 6)),
        output=tuple(f"backbone.fpn_output{s}" for s in range(2, 6)),
        rpn=tuple(f"proposal_generator.rpn_head.{n}" for n in ("conv", "objectness_logits", "anchor_deltas")),
        anchors=tuple(anchors(s, r, ratios_outer=False) for s, r in zip(sizes, ratios, strict=True)),
        rpn_numbers=(rpn["PRE_NMS_TOPK_TEST"], rpn["POST_NMS_TOPK_TEST"], rpn["NMS_THRESH"]),
        by_probability=False,
        box_convs=tuple((n, f"{n}.norm") for n in (f"roi_heads.box_head.conv{i + 1}" for i in range(box["NUM_CONV"]))),
        products=tuple(f"roi_heads.box_head.fc{i + 1}" for i in range(box["NUM_FC"])),
        predictors=("roi_heads.box_predictor.cls_score", "roi_heads.box_predictor.bbox_pred"),
        mask_convs=tuple(f"roi_heads.mask_head.mask_fcn{i}" for i in range(1, 5)) if model["MASK_ON"] else (),
        mask_ends=("roi_heads.mask_head.deconv", "roi_heads.mask_head.predictor"),
        aligned=box["POOLER_TYPE"] == "ROIAlignV2",
        sampling=box["POOLER_SAMPLING_RATIO"],
        box_weights=tuple(box["BBOX_REG_WEIGHTS"]),
        numbers=(roi["SCORE_THRESH_TEST"], roi["NMS_THRESH_TEST"], config["TEST"]["DETECTIONS_PER_IMAGE"]),
        bgr=config["INPUT"]["FORMAT"] == "BGR",
        mean=tuple(model["PIXEL_MEAN"]),
        std=tuple(model["PIXEL_STD"]),
    )


def mmdetection_plan(t: Tensors, config: Mapping[str, Any]) -> Plan:
    """MMDetection 3's names, with the numbers of its config."""
    model = config["model"]
    body, roi, photos = model["backbone"], model["roi_head"], model["data_preprocessor"]
    generator, rpn, rcnn = model["rpn_head"]["anchor_generator"], *(model["test_cfg"][n] for n in ("rpn", "rcnn"))
    roi_layer, ratios_outer = roi["bbox_roi_extractor"]["roi_layer"], generator.get("scale_major", True)
    convs = 4 if roi["bbox_head"]["type"].startswith("Shared4Conv") else 0

    def norm(name: str) -> str:
        if name == "stem":
            return "backbone.bn1"
        return f"backbone.layer{name}".replace("shortcut", "downsample.1").replace("conv", "bn")

    return Plan(
        conv=lambda n: "backbone.conv1" if n == "stem" else f"backbone.layer{n}".replace("shortcut", "downsample.0"),
        norm=norm,
        blocks=tuple(len([n for n in t if _is_block(n, f"backbone.layer{s}.")]) for s in range(1, 5)),
        groups=body.get("groups", 1),
        stride_in_1x1=body["style"] == "caffe",
        lateral=tuple(f"neck.lateral_convs.{i}.conv" for i in range(4)),
        output=tuple(f"neck.fpn_convs.{i}.conv" for i in range(4)),
        rpn=("rpn_head.rpn_conv", "rpn_head.rpn_cls", "rpn_head.rpn_reg"),
        anchors=tuple(
            anchors([stride * scale for scale in generator["scales"]], generator["ratios"], ratios_outer)
            for stride in generator["strides"]
        ),
        rpn_numbers=(rpn["nms_pre"], rpn["max_per_img"], rpn["nms"]["iou_threshold"]),
        by_probability=True,
        box_convs=tuple(
            (f"{n}.conv", f"{n}.bn") for n in (f"roi_head.bbox_head.shared_convs.{i}" for i in range(convs))
        ),
        products=tuple(f"roi_head.bbox_head.shared_fcs.{i}" for i in range(1 if convs else 2)),
        predictors=("roi_head.bbox_head.fc_cls", "roi_head.bbox_head.fc_reg"),
        mask_convs=tuple(f"roi_head.mask_head.convs.{i}.conv" for i in range(4)) if "mask_head" in roi else (),
        mask_ends=("roi_head.mask_head.upsample", "roi_head.mask_head.conv_logits"),
        aligned=roi_layer.get("aligned", True),
        sampling=roi_layer["sampling_ratio"],
        box_weights=tuple(1 / s for s in roi["bbox_head"]["bbox_coder"]["target_stds"]),
        numbers=(rcnn["score_thr"], rcnn["nms"]["iou_threshold"], rcnn["max_per_img"]),
        bgr=not photos["bgr_to_rgb"],
        mean=tuple(photos["mean"]),
        std=tuple(photos["std"]),
    )


def _is_block(name: str, stage: str) -> bool:
    return name.startswith(stage) and name.endswith(".conv1.weight")

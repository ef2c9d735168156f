"""torchvision detectors drawn at random over what people set: bodies, levels, anchors, widths, thresholds, means.

``compare`` holds edgekit's forms of one against torchvision's.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import torch
from torchvision.models import mobilenet_v2, mobilenet_v3_small
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.backbone_utils import BackboneWithFPN, mobilenet_backbone, resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import AnchorGenerator, RPNHead
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

import edgekit
from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.onnx_files import write_onnx
from edgekit.comparison.parity import Parity, parity
from edgekit.comparison.tolerance import TOLERANCES, Tolerance
from edgekit.data.detections import Detections
from edgekit.data.images import SAMPLE_PHOTOS, fit, list_images, read_image
from edgekit.deployment.assembly.base_graph import to_onnx
from edgekit.model.checkpoint import load_model
from edgekit.model.generations import normalise
from edgekit.model.module_settings import settings_of
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.torch_session import TorchSession
from tests.checkpoints import SIZE, seeing

COUNT = 40
RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "wide_resnet50_2")


def drawn_detector(seed: int, backbone: BackboneWithFPN | None = None) -> FasterRCNN:
    """A detector of 2 to 6 classes with the background, which detects something in the sample photos.

    Its backbone is drawn too, if it is not given.
    """
    rng = random.Random(seed)
    torch.manual_seed(seed)
    backbone = backbone or _backbone(rng)
    channels, levels = backbone.out_channels, len(backbone.fpn.inner_blocks) + 1
    names = [str(i) for i in range(levels - 1)]
    ratios = rng.choice([(0.5, 1.0, 2.0), (1.0,), (0.33, 1.0, 3.0, 4.5)])
    sizes = tuple(
        tuple(rng.choice([16, 24, 40]) * 2**i * s for s in rng.choice([(1,), (1, 1.5)])[:1]) for i in range(levels)
    )
    several = rng.random() < 0.3
    sizes = tuple((s[0], 1.5 * s[0]) if several else s for s in sizes)
    classes, features = rng.randint(2, 6), rng.choice([32, 64])
    bins = rng.choice([5, 7, 7])
    convolutions, frozen = rng.random() < 0.25, rng.random() < 0.3
    parts = {
        "rpn_anchor_generator": AnchorGenerator(sizes, (ratios,) * levels),
        "rpn_head": RPNHead(channels, len(ratios) * len(sizes[0]), rng.choice([1, 1, 2])),
        "rpn_pre_nms_top_n_test": rng.choice([50, 200]),
        "rpn_post_nms_top_n_test": rng.choice([20, 60]),
        "rpn_nms_thresh": rng.choice([0.5, 0.7, 0.9]),
        "rpn_score_thresh": rng.choice([0.0, 0.0, 0.05]),
        "box_roi_pool": MultiScaleRoIAlign(names, bins, rng.choice([1, 2, 2, 3])),
        "box_head": FastRCNNConvFCHead((channels, bins, bins), [24, 16], [features], torch.nn.BatchNorm2d)
        if convolutions
        else TwoMLPHead(channels * bins**2, features),
        "box_predictor": FastRCNNPredictor(features, classes),
        "box_score_thresh": rng.choice([0.05, 0.2]),
        "box_nms_thresh": rng.choice([0.3, 0.5, 0.8]),
        "box_detections_per_img": rng.choice([5, 100, 300]),
        "bbox_reg_weights": rng.choice([None, (1.0, 1.0, 1.0, 1.0), (5.0, 5.0, 2.0, 2.0)]),
        "image_mean": rng.choice([None, [0.5, 0.5, 0.5], [0.0, 0.1, 0.2]]),
        "image_std": rng.choice([None, [0.5, 0.5, 0.5], [1.0, 0.9, 0.8]]),
        "min_size": rng.choice([320, 800]),
    }
    if rng.random() < 0.4:
        return _detecting(FasterRCNN(backbone, **parts), frozen)
    widths = rng.choice([(32,), (24, 16), (16, 16, 16, 16)])
    hidden = rng.choice([8, 32])
    masks = {
        "mask_roi_pool": MultiScaleRoIAlign(names, 14, parts["box_roi_pool"].sampling_ratio),
        "mask_head": MaskRCNNHeads(channels, widths, 1, torch.nn.BatchNorm2d if convolutions else None),
        "mask_predictor": MaskRCNNPredictor(widths[-1], hidden, classes),
    }
    return _detecting(MaskRCNN(backbone, **parts, **masks), frozen)


def _detecting(model: FasterRCNN, frozen: bool) -> FasterRCNN:
    """The model in eval mode, each of its classes likely in some of the RPN's proposals."""
    model = seeing(model)
    for module in list(model.modules()):
        for name, norm in module.named_children():
            if frozen and isinstance(norm, torch.nn.BatchNorm2d):
                setattr(module, name, FrozenBatchNorm2d(norm.num_features, norm.eps))
                module.get_submodule(name).load_state_dict(norm.state_dict())
    photo = fit(read_image(list_images(SAMPLE_PHOTOS)[0]), SIZE).pixels
    images = normalise(torch.tensor(photo)[None], model.transform.image_mean, model.transform.image_std)
    with torch.no_grad():
        features = model.backbone(images)
        proposals, _ = model.rpn(ImageList(images, [SIZE]), features)
        layer = model.roi_heads.box_predictor.cls_score
        logits = layer(model.roi_heads.box_head(model.roi_heads.box_roi_pool(features, proposals, [SIZE])))
        deviation = logits.std(dim=0) + 1e-6
        layer.weight *= (2 / deviation)[:, None]
        layer.bias -= layer.bias + 2 / deviation * (logits.mean(dim=0) - layer.bias)
    return model


def _backbone(rng: random.Random) -> BackboneWithFPN:
    norm = torch.nn.BatchNorm2d
    kind = rng.choice([*RESNETS, "mobile", "mobile", "small"])
    if kind == "mobile":
        name = rng.choice(["mobilenet_v2", "mobilenet_v3_large"])
        returned = rng.choice([None, [2, 3, 4], [1, 3]])
        return mobilenet_backbone(backbone_name=name, weights=None, fpn=True, norm_layer=norm, returned_layers=returned)
    if kind == "small":
        body, taken = rng.choice(
            [(mobilenet_v2, {"3": 24, "6": 32, "13": 96}), (mobilenet_v3_small, {"3": 24, "8": 48, "12": 576})]
        )
        levels = {level: str(i) for i, level in enumerate(taken)}
        return BackboneWithFPN(body(norm_layer=norm).features, levels, list(taken.values()), rng.choice([32, 64]))
    returned = rng.choice([None, [2, 3], [2, 3, 4]])
    return resnet_fpn_backbone(backbone_name=kind, weights=None, norm_layer=norm, returned_layers=returned)


def torchvisions_own(model: FasterRCNN, pixels: torch.Tensor) -> Detections:
    """What torchvision's modules find in a canvas [H, W, 3], without its resizing and pasting."""
    images = normalise(pixels[None], model.transform.image_mean, model.transform.image_std)
    size = (int(images.shape[-2]), int(images.shape[-1]))
    with torch.inference_mode():
        features = model.backbone(images)
        proposals, _ = model.rpn(ImageList(images, [size]), features)
        (found,), _ = model.roi_heads(features, proposals, [size])
    masks = found["masks"][:, 0] if "masks" in found else torch.zeros(len(found["scores"]), 0, 0)
    return Detections(*(t.numpy() for t in (found["boxes"], found["labels"], found["scores"], masks)), size)


def seen(session: TorchSession | OnnxSession, pixels: torch.Tensor) -> Detections:
    """What a session finds in a canvas."""
    found = session.infer(pixels.numpy())
    kept = found.scores > 0
    size = (int(pixels.shape[0]), int(pixels.shape[1]))
    return Detections(*(v[kept] for v in (found.boxes, found.labels, found.scores, found.masks)), size)


def compare(theirs: FasterRCNN, folder: Path, graph: bool) -> int:
    """Compare a detector with its file in PyTorch, and with the graph made of that; return how many it found."""
    edgekit.save(theirs, folder / "x.safetensors", force=True)
    module, meta = load_model(folder / "x.safetensors", size=SIZE)
    assert meta.settings == settings_of(theirs)
    photos = [torch.tensor(fit(read_image(p), SIZE, meta.settings.pad).pixels) for p in list_images(SAMPLE_PHOTOS)[:3]]
    expected = [torchvisions_own(theirs, pixels) for pixels in photos]

    def check(session: TorchSession | OnnxSession, tolerance: Tolerance) -> Parity:
        result = parity(((one, seen(session, pixels)) for one, pixels in zip(expected, photos, strict=True)), tolerance)
        assert result.reaches(0.99), (session.runtime, result)
        return result

    ours = TorchSession(module, meta)
    ours.module = ours.module.to(memory_format=torch.contiguous_format)  # as torchvision's: sums in the same order
    found = check(ours, replace(TOLERANCES["fp32"], max_score_difference=1e-4))
    if graph:
        write_onnx(folder / "x.onnx", to_onnx(module, GraphShape(SIZE)), meta)
        check(OnnxSession(folder / "x.onnx"), TOLERANCES["fp32"])
    return found.compared

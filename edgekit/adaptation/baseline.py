"""What people do without edgekit, for comparison: torchvision's own loop over both whole predictors."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.models.detection import MaskRCNN

from edgekit.adaptation.views import View, plain_view
from edgekit.data.coco import Photo
from edgekit.model.checkpoint import new_generation
from edgekit.model.generations import GenerationalRCNN
from edgekit.progress import Track, silent

BATCH = 4
LR = 0.005  # with SGD, momentum 0.9 and weight decay 5e-4: torchvision's object detection fine-tuning tutorial


@dataclass(frozen=True)
class NaiveFineTuning:
    """The model that torchvision's loop made (one joint softmax over all classes) and how long that took."""

    module: GenerationalRCNN
    seconds: float


def fine_tune_naively(
    base: GenerationalRCNN,
    photos: list[Photo],
    classes: tuple[str, ...],
    size: tuple[int, int],
    epochs: int,
    seed: int,
    track: Track = silent,
) -> NaiveFineTuning:
    """Expand both predictors, freeze all else with ``requires_grad=False`` and train as torchvision's references do."""
    torch.manual_seed(seed)
    module = GenerationalRCNN(_expanded(base, len(classes)))
    model = module.base
    model.requires_grad_(False)
    for predictor in (module.box_predictor, module.mask_predictor):
        predictor.requires_grad_(True)
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=LR, momentum=0.9, weight_decay=5e-4)
    views = [plain_view(p, classes, size) for p in photos]
    first_label = base.box_predictor.cls_score.out_features
    rng = np.random.default_rng(seed)
    began = time.monotonic()
    for epoch in track(range(epochs), "torchvision's loop"):
        for group in optimizer.param_groups:  # a tenth for the last third of the epochs
            group["lr"] = LR if epoch < epochs * 2 / 3 else LR / 10
        for chosen in np.array_split(rng.permutation(len(views)), -(-len(views) // BATCH)):
            batch = [_example(views[i], first_label, flip=rng.random() < 0.5) for i in chosen]
            losses = model([image for image, _ in batch], [target for _, target in batch])
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
    return NaiveFineTuning(module.eval(), time.monotonic() - began)


def _expanded(base: GenerationalRCNN, classes: int) -> MaskRCNN:
    """A copy of the torchvision model with rows for more classes appended to its predictors."""
    rows = new_generation(base, classes)
    model = copy.deepcopy(base.base)
    heads = model.roi_heads
    for layer, added in (
        (heads.box_predictor.cls_score, rows.cls_score),
        (heads.box_predictor.bbox_pred, rows.bbox_pred),
        (heads.mask_predictor.mask_fcn_logits, rows.mask_fcn_logits),
    ):
        layer.weight = torch.nn.Parameter(torch.cat([layer.weight, added.weight]).detach())
        layer.bias = torch.nn.Parameter(torch.cat([layer.bias, added.get_parameter("bias")]).detach())
    heads.box_predictor.cls_score.out_features += classes
    heads.box_predictor.bbox_pred.out_features += 4 * classes
    heads.mask_predictor.mask_fcn_logits.out_channels += classes
    return model


def _example(view: View, first_label: int, flip: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A view as torchvision's training input."""
    image = torch.tensor(view.pixels).permute(2, 0, 1).float() / 255
    boxes, masks = torch.from_numpy(view.boxes), torch.from_numpy(view.masks.astype(np.uint8))
    if flip:
        image, masks = image.flip(2), masks.flip(2)
        boxes = torch.stack(
            [image.shape[2] - boxes[:, 2], boxes[:, 1], image.shape[2] - boxes[:, 0], boxes[:, 3]], dim=1
        )
    labels = torch.from_numpy(view.labels) - 1 + first_label
    return image, {"boxes": boxes, "labels": labels, "masks": masks}

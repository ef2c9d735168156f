"""What people do without edgekit, for comparison: torchvision's own loop over both whole predictors."""

from __future__ import annotations

import time

import numpy as np
import torch

from edgekit.adaptation.features.views import View, plain_view
from edgekit.adaptation.learning.initialise import new_generation
from edgekit.adaptation.learning.joint import merged_model
from edgekit.data.annotations.dataset import Photo
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.predictors import Predictors
from edgekit.progress import Track, silent
from edgekit.runtime.torch_session import device_here

BATCH = 4
LR = 0.005  # with SGD, momentum 0.9 and weight decay 5e-4: torchvision's object detection fine-tuning tutorial

PROPOSALS, SAMPLES = 300, 64  # of a photo in training, as the embedded model was trained


def fine_tune_naively(
    base: GenerationalRCNN,
    photos: tuple[Photo, ...],
    classes: tuple[str, ...],
    size: tuple[int, int],
    epochs: int,
    seed: int,
    track: Track = silent,
) -> tuple[GenerationalRCNN, float]:
    """Expand both predictors, freeze all else with ``requires_grad=False`` and train as torchvision's references do,
    on CUDA if there is any; returns the model (one joint softmax over all classes) and the seconds that took."""
    torch.manual_seed(seed)
    device = device_here()
    old = base.predictors
    rows = new_generation(old, len(classes), "mean", ())
    larger = Predictors(old.box_predictor, old.mask_predictor, [*old.generations, rows])
    module = GenerationalRCNN(merged_model(base.base, larger)).to(device)
    model = module.base
    model.transform.min_size, model.transform.max_size = (min(size),), max(size)  # views have this size already
    model.rpn._pre_nms_top_n["training"], model.rpn._post_nms_top_n["training"] = 2 * PROPOSALS, PROPOSALS
    model.roi_heads.fg_bg_sampler.batch_size_per_image = SAMPLES
    model.requires_grad_(False)
    module.predictors.requires_grad_(True)
    model.train()
    model.backbone.eval()  # batch norms are frozen
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=LR, momentum=0.9, weight_decay=5e-4)
    first_label = old.first_label(len(old.generations) + 1)
    labels = {name: first_label + i for i, name in enumerate(classes)}
    views = [plain_view(p, labels, size) for p in photos]
    rng = np.random.default_rng(seed)
    began = time.monotonic()
    for epoch in track(range(epochs), "torchvision's loop"):
        for group in optimizer.param_groups:  # a tenth for the last third of the epochs
            group["lr"] = LR if epoch < epochs * 2 / 3 else LR / 10
        for chosen in np.array_split(rng.permutation(len(views)), -(-len(views) // BATCH)):
            batch = [_example(views[i], rng.random() < 0.5, device) for i in chosen]
            losses = model([image for image, _ in batch], [target for _, target in batch])
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
    module = module.eval().cpu()  # waits for what CUDA still does
    return module, time.monotonic() - began


def _example(view: View, flip: bool, device: torch.device) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A view as torchvision's training input."""
    image = torch.tensor(view.pixels).permute(2, 0, 1).float() / 255
    boxes, masks = torch.from_numpy(view.boxes), torch.from_numpy(view.masks.astype(np.uint8))
    if flip:
        image, masks = image.flip(2), masks.flip(2)
        boxes = torch.stack(
            [image.shape[2] - boxes[:, 2], boxes[:, 1], image.shape[2] - boxes[:, 0], boxes[:, 3]], dim=1
        )
    target = {"boxes": boxes, "labels": torch.from_numpy(view.labels), "masks": masks}
    return image.to(device), {name: tensor.to(device) for name, tensor in target.items()}

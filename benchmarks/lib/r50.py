"""Mask R-CNN R50-FPN with random weights that detect about as much as trained ones, and photos of COCO for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection import MaskRCNN, maskrcnn_resnet50_fpn

from benchmarks.lib.paths import SHARED
from edgekit.adaptation.bases import open_base
from edgekit.adaptation.learning.initialise import new_generation
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.pack_files import Pack, write_pack
from edgekit.data.annotations.coco import write_dataset
from edgekit.data.annotations.formats import read_dataset
from edgekit.data.images import fit
from edgekit.model.checkpoint import load_model, save_model
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.hints import CheckpointHints
from edgekit.model.packs import tensors_of

PHOTOS = SHARED / "photos"
CLASSES = ("chair", "cup")
SIZE = (480, 640)
FOUND = 20  # detections a photo that the base model is made to have


def prepare(work: Path, photos: int) -> tuple[Path, Path, Path]:
    """A checkpoint as torchvision's users have it, its class names, and annotations of the new classes."""
    train = read_dataset(PHOTOS / "instances_train.json", PHOTOS / "images")
    shown = [p for p in train.photos if {a.category for a in p.annotations} & set(CLASSES)]
    chosen = (shown + [p for p in train.photos if p not in shown])[:photos]
    data = work / "annotations.json"
    write_dataset(type(train)(data, train.categories, tuple(chosen)))
    known = [c for c in train.categories if c not in CLASSES]
    names = work / "classes.txt"
    names.write_text("\n".join(known) + "\n")
    torch.manual_seed(0)
    base = work / "base.pth"
    module = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=1 + len(known)).eval()
    find_less(module, [p.read() for p in chosen[:4]])
    torch.save(module.state_dict(), base)
    return base, names, data


def as_checkpoint(work: Path) -> tuple[Path, GenerationalRCNN, ModelMeta]:
    """``prepare``'s model as edgekit's checkpoint: its file, the model, and what it is."""
    weights, names, _ = prepare(work, 8)
    module, meta = load_model(weights, hints=CheckpointHints(names), size=SIZE)
    checkpoint = work / "r50.safetensors"
    save_model(checkpoint, module, meta)
    return checkpoint, module, meta


def random_pack(checkpoint: Path, output: Path, classes: tuple[str, ...]) -> Path:
    """A pack of classes that were not learned: in size and shapes as one that was."""
    base = open_base(checkpoint)
    torch.manual_seed(1)
    generation = new_generation(base.predictors, len(classes), "random", base.meta.categories, adapter=True)
    tensors = tensors_of(generation)
    write_pack(
        output, Pack(output.stem, classes, base.meta.fingerprint, tensors, base.meta.input_size, base.meta.architecture)
    )
    return output


def link_photos(files: Sequence[Path], folder: Path) -> Path:
    """A folder with links to photos."""
    folder.mkdir(exist_ok=True)
    for file in files:
        (folder / file.name).unlink(missing_ok=True)
        (folder / file.name).symlink_to(file)
    return folder


@torch.inference_mode()
def find_less(module: MaskRCNN, photos: list[np.ndarray]) -> None:
    """Raise the background's bias until a module finds about ``FOUND`` objects a photo."""
    model = GenerationalRCNN(module)
    seen = [model.trunk(torch.tensor(fit(p, SIZE).pixels)[None]) for p in photos]
    bias = module.roi_heads.box_predictor.cls_score.bias
    low, high = 0.0, 20.0
    for _ in range(12):
        bias[0] = (low + high) / 2
        found = sum(len(model.detect(levels, proposals, SIZE)[0]["scores"]) for levels, proposals in seen)
        low, high = (low, float(bias[0])) if found < FOUND * len(photos) else (float(bias[0]), high)

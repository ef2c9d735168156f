"""Checkpoints as modules: torchvision's tensor names, the generations' predictor rows one below the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from edgekit.artifacts import ModelMeta, kind_of, read_checkpoint, resolve, write_checkpoint
from edgekit.errors import EdgekitError
from edgekit.model.architectures import ARCHITECTURES
from edgekit.model.generations import Generation, GenerationalRCNN

# The layers that have rows for each class, with their rows a class.
CLASS_ROWS = {
    "roi_heads.box_predictor.cls_score": ("cls_score", 1),
    "roi_heads.box_predictor.bbox_pred": ("bbox_pred", 4),
    "roi_heads.mask_predictor.mask_fcn_logits": ("mask_fcn_logits", 1),
}


def load_model(model: str | Path) -> tuple[GenerationalRCNN, ModelMeta]:
    """Read a checkpoint (a path or an embedded model's name) as a module in eval mode, in float32."""
    path = resolve(model)
    if kind_of(path) != "checkpoint":
        raise EdgekitError(f"{path}: is not a checkpoint", "give a .safetensors file or the name 'demo'")
    arrays, meta = read_checkpoint(path)
    if meta.architecture not in ARCHITECTURES:
        raise EdgekitError(f"{path}: unknown architecture {meta.architecture}", "update edgekit")
    groups = [len(g) for g in meta.generations] if meta.scoring == "exact" else [len(meta.categories)]
    base = ARCHITECTURES[meta.architecture](groups[0])
    tensors = {name: torch.from_numpy(_as_float32(array)) for name, array in arrays.items()}
    module = GenerationalRCNN(base)
    try:
        module.added.extend(_split_rows(tensors, groups))
        base.load_state_dict(tensors, strict=True)
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise EdgekitError(
            f"{path}: its weights do not fit {meta.architecture}: {reason}", "write it again with this edgekit"
        ) from None
    return module.eval(), meta


def save_model(path: Path, module: GenerationalRCNN, meta: ModelMeta, dtype: torch.dtype = torch.float32) -> None:
    """Write a module as a checkpoint that torchvision can load too (as one joint softmax over all classes)."""
    tensors = dict(module.base.state_dict())
    for layer, (name, _) in CLASS_ROWS.items():
        for kind in ("weight", "bias"):
            rows = [tensors[f"{layer}.{kind}"]]
            rows += [g.get_submodule(name).get_parameter(kind) for g in module.added]
            tensors[f"{layer}.{kind}"] = torch.cat([r.detach() for r in rows])
    arrays = {n: (t.to(dtype) if t.is_floating_point() else t).cpu().numpy() for n, t in tensors.items()}
    write_checkpoint(path, arrays, meta)


def new_generation(module: GenerationalRCNN, classes: int) -> Generation:
    """Rows for ``classes`` more classes, each starting as the mean of the base model's rows of object classes."""
    box, mask = module.box_predictor, module.mask_predictor
    generation = Generation(classes, box.cls_score.in_features, mask.mask_fcn_logits.in_channels)
    with torch.no_grad():
        for name, source, rows in (
            ("cls_score", box.cls_score, 1),
            ("bbox_pred", box.bbox_pred, 4),
            ("mask_fcn_logits", mask.mask_fcn_logits, 1),
        ):
            target = generation.get_submodule(name)
            for kind in ("weight", "bias"):
                old = source.get_parameter(kind)
                mean = old.unflatten(0, (-1, rows))[1:].mean(0)
                target.get_parameter(kind).copy_(mean.repeat(classes, *[1] * (old.dim() - 1)))
    return generation


def _split_rows(tensors: dict[str, torch.Tensor], groups: list[int]) -> list[Generation]:
    """Take the later generations' rows out of ``tensors`` (which keeps the first's) and return them as modules."""
    added: list[dict[str, torch.Tensor]] = [{} for _ in groups[1:]]
    for layer, (name, rows) in CLASS_ROWS.items():
        for kind in ("weight", "bias"):
            key = f"{layer}.{kind}"
            first, *later = tensors[key].split([g * rows for g in groups])
            tensors[key] = first
            for state, part in zip(added, later, strict=True):
                state[f"{name}.{kind}"] = part
    generations = []
    for state in added:
        generation = Generation(
            len(state["cls_score.bias"]), state["cls_score.weight"].shape[1], state["mask_fcn_logits.weight"].shape[1]
        )
        generation.load_state_dict(state)
        generations.append(generation)
    return generations


def _as_float32(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float16 else array

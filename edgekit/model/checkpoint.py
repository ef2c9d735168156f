"""Checkpoints as modules: torchvision's tensor names, the generations' predictor rows one below the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from edgekit.artifacts.input_sizes import check_size
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.model_names import TORCHVISION, kind_of, resolve
from edgekit.artifacts.pack_files import Pack, input_size_with
from edgekit.artifacts.safetensors_files import tensors_sha256, write_safetensors
from edgekit.errors import EdgekitError
from edgekit.model.architectures import without_weights
from edgekit.model.foreign_checkpoints import is_foreign, read_foreign
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.hints import CheckpointHints
from edgekit.model.packs import grown_fingerprint, with_packs
from edgekit.model.predictors import Generation
from edgekit.model.recognise import of_detector, recognise
from edgekit.model.sources import Weights, read_weights

# The layers that have rows for each class, with their rows per class.
CLASS_ROWS = {
    "roi_heads.box_predictor.cls_score": ("cls_score", 1),
    "roi_heads.box_predictor.bbox_pred": ("bbox_pred", 4),
    "roi_heads.mask_predictor.mask_fcn_logits": ("mask_fcn_logits", 1),
}
FIRST_MASK_LAYER = "roi_heads.mask_predictor.conv5_mask"
ADAPTERS = "edgekit.generations"  # the prefix of the tensors that torchvision's layout has no place for


def mask_layer_in(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of the first mask layer among a checkpoint's; none of a Faster R-CNN."""
    return {kind: tensors[name] for kind in ("weight", "bias") if (name := f"{FIRST_MASK_LAYER}.{kind}") in tensors}


def load_model(
    model: str | Path,
    hints: CheckpointHints = CheckpointHints(),
    size: tuple[int, int] | None = None,
    packs: Sequence[Pack] = (),
    force: bool = False,
) -> tuple[GenerationalRCNN, ModelMeta]:
    """Read a checkpoint (a file, torchvision's name or an embedded model's) as a module in eval mode, in float32.

    ``hints`` describe a checkpoint that edgekit did not write; ``size`` replaces the input's (height, width), which is
    else that of the ``packs``, if there are some, or the model's own.
    ``force`` takes packs that were trained on features of another precision.
    """
    path = resolve(model)
    weights, meta = read_checkpoint(model, hints)
    module, meta = build_model(path, weights, meta, input_size_with(packs, meta, size))
    if not packs:
        return module, meta
    return with_packs(module, replace(meta, fingerprint=fingerprint(weights.tensors, meta)), packs, path, force)


def build_model(
    path: Path, weights: Weights, meta: ModelMeta, size: tuple[int, int] | None = None
) -> tuple[GenerationalRCNN, ModelMeta]:
    """``load_model`` of what ``read_checkpoint`` read from ``path``; the module shares the tensors."""
    if size is not None:
        meta = replace(meta, input_size=check_size(size))
    groups = meta.group_sizes
    base = without_weights(meta.settings, groups[0], weights.tensors)
    try:
        tensors, added = split_generations(weights.tensors, groups)
        base.load_state_dict(tensors, strict=True, assign=True)
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise EdgekitError(
            f"{path}: its weights do not fit {meta.architecture}: {reason}",
            "write it again with this edgekit" if not meta.recognised else "check where it comes from",
        ) from None
    return GenerationalRCNN(base, added, meta.parents[: len(added)] or None).eval(), meta


def read_checkpoint(model: str | Path, hints: CheckpointHints = CheckpointHints()) -> tuple[Weights, ModelMeta]:
    """A checkpoint's tensors, and what they are: by its own metadata, or recognised."""
    path = resolve(model)
    if kind_of(path) != "checkpoint":
        raise EdgekitError(f"{path}: is not a checkpoint", "give the .safetensors or .pth file it was made from")
    weights = read_weights(path)
    if weights.metadata is None:
        if is_foreign(weights):
            weights, meta = read_foreign(weights, path, hints)
        else:
            weights = of_detector(weights, path)
            pretrained = str(model) if str(model) in TORCHVISION else None
            meta = recognise(weights.tensors, path, hints, pretrained)
        notes = {"weights": "; ".join(weights.notes)} if weights.notes else {}
        return weights, replace(meta, recognised={**meta.recognised, **notes})
    hints.refuse(path)
    return weights, ModelMeta.from_json(weights.metadata, path)


def fingerprint(tensors: Mapping[str, torch.Tensor], meta: ModelMeta) -> str:
    """What packs know a model by: the SHA-256 of its weights, its architecture, and the generations built into it."""
    base, added = split_generations(tensors, meta.group_sizes)
    digest = base_sha256(base, meta)
    for generation in added:
        digest = grown_fingerprint(digest, generation)
    return digest


def base_sha256(base: Mapping[str, torch.Tensor], meta: ModelMeta) -> str:
    """The digest of a base model's weights and of what they are used for."""
    arrays = {name: tensor.numpy() for name, tensor in base.items()}
    return tensors_sha256(arrays, meta.settings.identity)


def save_model(path: Path, module: GenerationalRCNN, meta: ModelMeta, dtype: torch.dtype = torch.float32) -> None:
    """Write a module as a checkpoint that torchvision can load too (as one joint softmax over all classes)."""
    tensors = merged_state(module)
    for number, generation in enumerate(module.predictors.generations, start=1):
        if generation.adapter is not None:
            state = generation.adapter.state_dict()
            tensors |= {f"{ADAPTERS}.{number}.adapter.{name}": tensor for name, tensor in state.items()}
    arrays = {n: (t.to(dtype) if t.is_floating_point() else t).cpu().numpy() for n, t in tensors.items()}
    write_safetensors(path, arrays, meta)


def merged_state(module: GenerationalRCNN) -> dict[str, torch.Tensor]:
    """A state dict in torchvision's layout, the later generations' rows below the base model's; no adapters."""
    tensors = dict(module.base.state_dict())
    for layer, (name, _) in CLASS_ROWS.items():
        if f"{layer}.weight" not in tensors:  # a Faster R-CNN has no masks
            continue
        for kind in ("weight", "bias"):
            rows = [tensors[f"{layer}.{kind}"]]
            rows += [g.get_submodule(name).get_parameter(kind) for g in module.predictors.generations]
            tensors[f"{layer}.{kind}"] = torch.cat([r.detach() for r in rows])
    return tensors


def split_generations(
    tensors: Mapping[str, torch.Tensor], groups: list[int]
) -> tuple[dict[str, torch.Tensor], list[Generation]]:
    """A checkpoint's tensors as the base model's alone and the later generations as modules.

    ``groups`` is how many classes each generation has (``ModelMeta.group_sizes``).
    """
    tensors = dict(tensors)
    mask = mask_layer_in(tensors).get("weight")  # [input, hidden, 2, 2]
    mask_channels = None if mask is None else (mask.shape[0], mask.shape[1])
    added: list[dict[str, torch.Tensor]] = [{} for _ in groups[1:]]
    for layer, (name, rows) in CLASS_ROWS.items():
        for kind in ("weight", "bias"):
            key = f"{layer}.{kind}"
            if key not in tensors:  # a Faster R-CNN has no masks
                continue
            tensors[key], *later = tensors[key].split([g * rows for g in groups])
            for state, part in zip(added, later, strict=True):
                state[f"{name}.{kind}"] = part
    generations = []
    for number, state in enumerate(added, start=1):
        prefix = f"{ADAPTERS}.{number}."
        own = {n.removeprefix(prefix): tensors.pop(n) for n in list(tensors) if n.startswith(prefix)}
        classes, features = state["cls_score.weight"].shape
        generation = Generation(classes, features, mask_channels, adapter=bool(own))
        generation.load_state_dict(state | own)
        generations.append(generation.eval())
    return tensors, generations

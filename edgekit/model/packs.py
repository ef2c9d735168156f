"""Packs as PyTorch modules: a generation's tensors, and models with packs installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.pack_files import Pack, combined, ordered
from edgekit.artifacts.safetensors_files import tensors_sha256
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.predictors import Generation, Predictors


def tensors_of(generation: Generation, first: Mapping[str, torch.Tensor] | None = None) -> dict[str, np.ndarray]:
    """A generation's tensors by name.

    Without an adapter its mask rows work on what the base model's first mask layer gives: with that layer's tensors,
    ``first``, the masks need nothing of the base model.
    """
    state = dict(generation.state_dict())
    if first and generation.adapter is None:
        state |= {f"adapter.mask.conv5_mask.{kind}": tensor for kind, tensor in first.items()}
        state |= {f"adapter.mask.mask_fcn_logits.{kind}": state[f"mask_fcn_logits.{kind}"] for kind in first}
    return {name: tensor.detach().cpu().numpy() for name, tensor in state.items()}


def generation_of(tensors: Mapping[str, np.ndarray]) -> Generation:
    """The generation that has these tensors (see ``tensors_of``); rows that an adapter replaces may be missing."""
    rows, features = tensors["bbox_pred.weight"].shape
    first = tensors.get("adapter.mask.conv5_mask.weight")  # [input, hidden, 2, 2]
    mask_channels = None if first is None else (first.shape[0], first.shape[1])
    generation = Generation(rows // 4, features, mask_channels, adapter="adapter.cls_score.weight" in tensors)
    if generation.adapter is None:  # its mask rows are there as those that need no other layer
        tensors = {name.removeprefix("adapter.mask."): tensor for name, tensor in tensors.items()}
    state = {
        name: torch.tensor(tensors[name], dtype=torch.float32) if name in tensors else torch.zeros_like(empty)
        for name, empty in generation.state_dict().items()
    }
    generation.load_state_dict(state)
    return generation.eval()


def grown_fingerprint(digest: str, generation: Generation) -> str:
    """The fingerprint of a model that has ``digest``'s with one more generation built into it."""
    return tensors_sha256(tensors_of(generation), digest)


def with_packs(
    module: GenerationalRCNN, meta: ModelMeta, packs: Sequence[Pack], source: Path, force: bool = False
) -> tuple[GenerationalRCNN, ModelMeta]:
    """The model ``source`` with packs, which share its modules; raises EdgekitError for packs that do not fit it."""
    grown = combined(meta, packs, source, force)
    old: Predictors = module.predictors
    added = [*old.generations, *(generation_of(pack.tensors) for pack in ordered(packs, meta.packs))]
    parents = [*old.parents, *grown.parents[len(grown.parents) - len(packs) :]]
    return GenerationalRCNN(module.base, added, parents).eval(), grown

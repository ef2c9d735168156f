"""A model as a state dict that plain torchvision loads, without edgekit."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import torch

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.model_names import TORCHVISION
from edgekit.artifacts.outputs import MARK
from edgekit.files.whole_files import atomic_path
from edgekit.model.checkpoint import merged_state
from edgekit.model.generations import GenerationalRCNN


def write_state(output: Path, module: GenerationalRCNN, meta: ModelMeta) -> tuple[str, ...]:
    """Write all generations' rows as one predictor (.pth, .pt or .safetensors) and return what to know to use it."""
    state = {name: tensor.detach().clone().contiguous() for name, tensor in merged_state(module).items()}
    if output.suffix.lower() == ".safetensors":
        from safetensors.torch import save

        data = save(state, metadata={f"{MARK}.format": "torchvision"})
    else:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.comment = MARK.encode()
        data = buffer.getvalue()
    with atomic_path(output) as temporary:
        temporary.write_bytes(data)  # not by torch or safetensors, whose own errors hide a full disk
    return tuple(_notes(module, meta))


def _notes(module: GenerationalRCNN, meta: ModelMeta) -> list[str]:
    count, name = len(meta.categories), meta.architecture
    notes = ["scored by one softmax over all classes: old scores may change where new classes are likely"]
    if name in TORCHVISION:
        frozen = not any(n.endswith("num_batches_tracked") for n in module.state_dict())
        norms = "" if frozen else ", weights_backbone=None"  # torchvision freezes batch norms of pretrained backbones
        call = f"torchvision.models.detection.{name}(num_classes={count}{norms})"
        if frozen and meta.settings.norm_eps == 0:
            notes.append("its batch norms have an epsilon of 0: torchvision.models.detection._utils.overwrite_eps")
    else:
        call = f"edgekit.model.architectures.{name}({count})"
    if any(g.adapter is not None for g in module.predictors.generations):
        notes.append("the new classes' adapters have no place in it and are left out: they score lower")
    return [f"load with: {call}.load_state_dict(state)", *notes]

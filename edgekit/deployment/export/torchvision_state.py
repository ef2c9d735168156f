"""A model as a state dict that plain torchvision loads, without edgekit."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import torch

from edgekit.artifacts.detector_settings import DetectorSettings
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.model_names import TORCHVISION
from edgekit.artifacts.outputs import MARK
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import atomic_path
from edgekit.model.checkpoint import merged_state
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.module_settings import named_settings


def write_state(output: Path, module: GenerationalRCNN, meta: ModelMeta, model: str | Path) -> tuple[str, ...]:
    """Write all generations' rows as one predictor (.pth, .pt or .safetensors) and return what to know to use it.

    Raises EdgekitError for a ``model`` that torchvision's classes cannot hold.
    """
    check_holdable(meta.settings, model)
    if meta.refined_classes:
        raise EdgekitError(
            f"{model}: has the class {meta.refined_classes[0]} twice, which torchvision's one softmax cannot have",
            "write ONNX: omit --format torchvision, or export the model without the pack that refines the class",
        )
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
    return tuple(_notes(module, meta, model))


def check_holdable(settings: DetectorSettings, model: str | Path) -> None:
    """Raise EdgekitError for a detector that computes what no class of torchvision's does."""
    usual = DetectorSettings()
    names = ("roi_aligned", "anchors_rounded", "anchor_offset", "anchor_strides", "symmetric_clamp")
    if other := [name for name in names if getattr(settings, name) != getattr(usual, name)]:
        raise EdgekitError(
            f"{model}: torchvision has no place for its {', '.join(other)}", "write ONNX: omit --format torchvision"
        )


def _notes(module: GenerationalRCNN, meta: ModelMeta, model: str | Path) -> list[str]:
    count, name, settings = len(meta.categories), meta.architecture, meta.settings
    notes = ["scored by one softmax over all classes: old scores may change where new classes are likely"]
    frozen = not any(n.endswith("num_batches_tracked") for n in module.state_dict())
    if name in TORCHVISION and replace(named_settings(name), norm_eps=settings.norm_eps) == settings:
        norms = "" if frozen else ", weights_backbone=None"  # torchvision freezes batch norms of pretrained backbones
        call = f"torchvision.models.detection.{name}(num_classes={count}{norms})"
        if frozen and settings.norm_eps == 0:
            notes.append("its batch norms have an epsilon of 0: torchvision.models.detection._utils.overwrite_eps")
    else:
        built = f"build_detector(edgekit.inspect({str(model)!r}).meta.settings, {count})"
        call = f"edgekit.model.architectures.freeze_norms({built}, state)"
    if any(g.adapter is not None for g in module.predictors.generations):
        notes.append("the new classes' adapters have no place in it and are left out: they score lower")
    return [f"load with: {call}.load_state_dict(state)", *notes]

"""Exported graphs read back: their predictors as modules."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from onnx import numpy_helper
from torch import nn

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import OnnxFile
from edgekit.errors import EdgekitError
from edgekit.graphs.appending import ADDED, AGAIN
from edgekit.graphs.parts import predictors_in
from edgekit.model.architectures import without_weights
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.packs import generation_of


def read_heads(file: OnnxFile) -> GenerationalRCNN:
    """Rebuild the predictors of an exported graph and of its generations from its weights.

    The module has no trunk: only ``predictors`` and the rules of ``heads`` work.
    """
    weights = {t.name: numpy_helper.to_array(t) for t in file.graph.graph.initializer}
    added = [_part(weights, f"{ADDED}{n}.") for n in range(len(file.meta.group_sizes) - 1)]
    try:
        return heads_of(predictors_in(file.graph), added, file.meta)
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise EdgekitError(f"{file.path}: its weights are not all to be found: {reason}", AGAIN) from None


def heads_of(
    tensors: Mapping[str, np.ndarray], added: list[dict[str, np.ndarray]], meta: ModelMeta
) -> GenerationalRCNN:
    """The module of a base model's predictors, named as in torchvision's ``roi_heads``, and of added generations."""
    base = without_weights(meta.settings, meta.group_sizes[0])
    base.backbone, base.rpn = nn.Identity(), nn.Identity()
    for name in ("box_predictor", "mask_predictor"):
        predictor = getattr(base.roi_heads, name)
        if predictor is not None:
            own = {n.removeprefix(f"{name}."): torch.tensor(t) for n, t in tensors.items() if n.startswith(f"{name}.")}
            zeros = {n: torch.zeros(t.shape) for n, t in predictor.state_dict().items() if n.endswith("bias")}
            predictor.load_state_dict(zeros | own, strict=True, assign=True)  # a graph leaves out biases of zero
    generations = [generation_of(tensors) for tensors in added]
    return GenerationalRCNN(base, generations, meta.parents[: len(generations)] or None).eval()


def _part(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

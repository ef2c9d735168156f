"""Exported graphs read back: their heads as modules, their trunk as a graph of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnx import numpy_helper
from torch import nn
from torchvision.models.detection import FasterRCNN

from edgekit.artifacts.graph_shapes import shapes_of
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import OnnxFile, refuse_parts
from edgekit.artifacts.value_names import IMAGES, INNER, TABLE
from edgekit.deployment.assembly.trunk_files import BODY, save, save_heads
from edgekit.deployment.edits.int32_labels import has_int32_labels
from edgekit.errors import EdgekitError
from edgekit.model.architectures import ARCHITECTURES, without_weights
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.predictors import Generation
from edgekit.static.norms import folded
from edgekit.static.roi_align import LevelTable
from edgekit.static.static_trunk import BoxFeatures, MaskFeatures, channels_first, feature_shapes, pooled_table

# How their weights' names begin in the graph; ROWS of a box head with another order of weights (``channels_last``).
HEADS, ADDED, ROWS = "model.base.roi_heads.", "model.predictors.added.", "trunk.box.box_head."
UINT8 = "adapt the checkpoint, or a graph exported without --input and --labels; give these when exporting the result"
AGAIN = "export it again from its checkpoint with this edgekit"


def read_heads(file: OnnxFile) -> GenerationalRCNN:
    """Rebuild the heads and all generations of an exported graph from its weights.

    The module has no backbone and no RPN: only ``heads`` and ``predictors`` work. Batch norms are part of the layers
    before them, as in the graph; fp16 weights come back as float32.
    """
    graph, meta, path = file.graph, file.meta, file.path
    refuse_parts(meta, path)
    if meta.input_type != "uint8":  # what the adaptation feeds to a trunk
        raise EdgekitError(f"{path}: takes float32 images, so no classes can be added to it", UINT8)
    if has_int32_labels(graph):
        raise EdgekitError(f"{path}: its labels are int32, so no classes can be added to it", UINT8)
    return heads_of(graph, meta, path)


def extract_trunk(file: OnnxFile, folder: Path, rois: int = 272, mask_rois: int = 12, for_cpu: bool = False) -> None:
    """Write an exported graph's trunk to ``folder`` as ``trunk_files.export_trunk`` does, at the graph's own size.

    The body is the graph's own nodes and has all its proposals; the heads are exported from the rebuilt ones.
    """
    graph, meta, path = file.graph, file.meta, file.path
    module = heads_of(graph, meta, path)
    shapes = inner_shapes(graph, path)
    whole = ir.from_proto(graph)
    body = ir.Model(ir.convenience.extract(whole.graph, [IMAGES], list(BODY)), ir_version=whole.ir_version)
    levels = level_table(meta, shapes, path)
    mask = MaskFeatures(module.heads, levels) if module.has_masks else None
    save(ir.to_proto(body), folder / "body.onnx", for_cpu)
    box, channels = BoxFeatures(module.heads, levels), shapes[TABLE][1]
    save_heads(folder, box, mask, channels, rois, mask_rois, for_cpu)


def heads_of(graph: onnx.ModelProto, meta: ModelMeta, path: Path) -> GenerationalRCNN:
    """The heads and generations of a graph that was read from ``path``."""
    if meta.architecture not in ARCHITECTURES:
        raise EdgekitError(f"{path}: unknown architecture {meta.architecture}", "update edgekit")
    kept = [t for t in graph.graph.initializer if t.name.startswith((HEADS, ADDED, ROWS))]
    tensors = {t.name: torch.from_numpy(numpy_helper.to_array(t).astype(np.float32)) for t in kept}
    sizes = meta.group_sizes
    base = _without_weights(meta)
    base.roi_heads = folded(base.roi_heads)
    base.backbone, base.rpn = nn.Identity(), nn.Identity()
    module = GenerationalRCNN(base)
    bins = int(module.heads.box_roi_pool.output_size[0])
    state = _part(tensors, HEADS) | {f"box_head.{n}": t for n, t in _part(tensors, ROWS).items()}
    if f"{ROWS}fc6.weight" in tensors:
        state["box_head.fc6.weight"] = channels_first(tensors[f"{ROWS}fc6.weight"], bins)
    try:
        module.heads.load_state_dict(_complete(state, module.heads), strict=True, assign=True)
        for number, classes in enumerate(sizes[1:]):
            state = _part(tensors, f"{ADDED}{number}.")
            adapter = any(n.startswith("adapter.") for n in state)
            features = module.predictors.box_predictor.cls_score.in_features
            generation = Generation(classes, features, module.predictors.mask_channels, adapter)
            generation.load_state_dict(_complete(state, generation), strict=True)
            module.predictors.added.append(generation)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise EdgekitError(f"{path}: its weights are not all to be found: {reason}", AGAIN) from None
    return module.eval()


def _without_weights(meta: ModelMeta) -> FasterRCNN:
    return without_weights(meta.architecture, meta.group_sizes[0], True, meta.batch_norm_eps)


def level_table(meta: ModelMeta, shapes: dict[str, list[int]], path: Path) -> LevelTable:
    """The table of a model's FPN levels: a backbone without weights has their shapes.

    Raises EdgekitError if the graph's, of the ``inner_shapes`` given, is another.
    """
    base = _without_weights(meta)
    levels = pooled_table(base, feature_shapes(base, meta.input_size), meta.input_size)
    if shapes[TABLE][0] != levels.cells:
        raise EdgekitError(f"{path}: lays its features out as an older edgekit did", AGAIN)
    return levels


def _complete(state: dict[str, torch.Tensor], module: nn.Module) -> dict[str, torch.Tensor]:
    """``state`` with what a graph leaves out: biases of zero, and rows that an adapter replaces (as zeros)."""
    state = dict(state)
    for name, tensor in module.state_dict().items():
        replaced = name.startswith(("cls_score.", "mask_fcn_logits.")) and "adapter.hidden.weight" in state
        if name not in state and (replaced or f"{name.removesuffix('bias')}weight" in state):
            state[name] = torch.zeros(tensor.shape)
    return state


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def inner_shapes(graph: onnx.ModelProto, path: Path) -> dict[str, list[int]]:
    """The shapes of the values that a later generation reads."""
    found = shapes_of(graph.graph.value_info)
    missing = [name for name in INNER if name not in found]
    if missing:
        raise EdgekitError(f"{path}: has no {', '.join(missing)}", AGAIN)
    return {name: found[name] for name in INNER}

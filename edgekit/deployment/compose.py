"""Adapt a model of which there is only edgekit's ONNX export: rebuild its heads, cut out its trunk, append classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.ops import FrozenBatchNorm2d

from edgekit.artifacts import ModelMeta, read_onnx, write_onnx
from edgekit.deployment.graph import Slots
from edgekit.deployment.roi_align import Mosaic
from edgekit.deployment.static_onnx import INNER, OUTPUTS, check_static, name_parameters, static_onnx
from edgekit.deployment.trunk import BoxFeatures, MaskFeatures, pooled_mosaic
from edgekit.deployment.trunk_export import BODY, save, save_heads, whole_folder
from edgekit.errors import EdgekitError
from edgekit.model.architectures import ARCHITECTURES, without_weights
from edgekit.model.checkpoint import group_sizes
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.predictors import Generation, merged

if TYPE_CHECKING:
    import onnx

HEADS, ADDED = "model.base.roi_heads.", "model.predictors.added."  # how their weights' names begin in the graph
AGAIN = "export it again from its checkpoint with this edgekit"


def read_heads(path: Path) -> tuple[GenerationalRCNN, ModelMeta]:
    """Rebuild the heads and all generations of an exported graph from its weights.

    The module has no backbone and no RPN: only ``heads`` and ``predictors`` work. Batch norms are part of the layers
    before them, as in the graph; fp16 weights come back as float32.
    """
    graph, meta = read_onnx(path)
    return _heads_of(graph, meta, path), meta


def extract_trunk(path: Path, folder: Path, rois: int = 272, mask_rois: int = 12) -> None:
    """Write an exported graph's trunk to ``folder`` as ``trunk_export.export_trunk`` does, at the graph's own size.

    The body is the graph's own nodes and has all its proposals; the heads are exported from the rebuilt ones.
    """
    import onnx

    graph, meta = read_onnx(path)
    module = _heads_of(graph, meta, path)
    shapes = _inner_shapes(graph, path)
    body = onnx.utils.Extractor(graph).extract_model(["images"], list(INNER[:3]))
    _rename(body.graph, dict(zip(INNER, BODY, strict=False)))
    mosaic = _mosaic(meta)
    mask = MaskFeatures(module.heads, mosaic) if module.has_masks else None
    with whole_folder(folder) as temporary:
        save(body, temporary / "body.onnx")
        save_heads(temporary, BoxFeatures(module.heads, mosaic), mask, shapes["trunk.table"][1], rois, mask_rois)


def append_generation(
    base: Path, output: Path, generation: Generation, module: GenerationalRCNN, meta: ModelMeta
) -> None:
    """Write ``base`` (an exported graph) with one more generation to ``output``.

    ``module`` is what ``read_heads`` returned, ``meta`` describes the result. The base's nodes and weights stay as they
    are, so that in one runtime its detections do too, to the last bit; what is appended reads the trunk's values and
    the earlier logits.
    """
    graph, base_meta = read_onnx(base)
    if base_meta.best_only:
        raise EdgekitError(f"{base}: drops covered detections, so no classes can be added to it", AGAIN)
    shapes = _inner_shapes(graph, base)
    number = 1 + len(module.predictors.generations)
    added = _Added(module, generation.eval(), _mosaic(meta), meta.input_size, number).requires_grad_(False)
    outputs = OUTPUTS if module.has_masks else OUTPUTS[:3]
    names = [*outputs, "predictors.logits"]
    inputs = tuple(torch.zeros(shapes[name]) for name in INNER)
    part = static_onnx(added, inputs, INNER, [f"appended.{n}" for n in names])
    name_parameters(part, added)
    _merge(graph, part, number, names)
    check_static(graph)
    write_onnx(output, graph, replace(meta, precision=base_meta.precision))


class _Added(nn.Module):
    """One more generation: what the graph has computed so far to its detections and the logits of all classes."""

    def __init__(
        self, module: GenerationalRCNN, generation: Generation, mosaic: Mosaic, size: tuple[int, int], number: int
    ) -> None:
        super().__init__()
        self.model = GenerationalRCNN(module.base, [*module.predictors.generations, generation])
        mask = MaskFeatures(module.heads, mosaic) if module.has_masks else None
        self.slots, self.number = Slots(self.model, mask, size, number), number

    def forward(
        self,
        table: torch.Tensor,
        proposals: torch.Tensor,
        proposed: torch.Tensor,
        box_features: torch.Tensor,
        logits: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """The same as a later generation in ``StaticRCNN.forward``."""
        rows, deltas = self.model.predictors.generations[self.number - 1](box_features)
        found = self.slots(table, proposals, proposed, torch.cat([merged(logits), rows], dim=1), deltas)
        return *(values[None] for values in found), torch.cat([logits, rows], dim=1)


def _heads_of(graph: onnx.ModelProto, meta: ModelMeta, path: Path) -> GenerationalRCNN:
    """See ``read_heads``."""
    from onnx import numpy_helper

    if meta.architecture not in ARCHITECTURES:
        raise EdgekitError(f"{path}: unknown architecture {meta.architecture}", "update edgekit")
    kept = [t for t in graph.graph.initializer if t.name.startswith((HEADS, ADDED))]
    tensors = {t.name: torch.from_numpy(numpy_helper.to_array(t).astype(np.float32)) for t in kept}
    sizes = group_sizes(meta)
    base = _without_weights(meta)
    _fold_norms(base.roi_heads)
    base.backbone, base.rpn = nn.Identity(), nn.Identity()
    module = GenerationalRCNN(base)
    try:
        module.heads.load_state_dict(_complete(_part(tensors, HEADS), module.heads), strict=True, assign=True)
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
    return without_weights(meta.architecture, group_sizes(meta)[0], True, meta.batch_norm_eps)


def _mosaic(meta: ModelMeta) -> Mosaic:
    """The mosaic of a model's FPN levels: a backbone without weights has their shapes."""
    base = _without_weights(meta)
    features = base.backbone(torch.zeros(1, 3, *meta.input_size, device="meta"))
    return pooled_mosaic(base, features, meta.input_size)


def _fold_norms(heads: nn.Module) -> None:
    """Make of each convolution with a batch norm behind it one with a bias, as the exporter does."""
    for block in list(heads.modules()):
        if not isinstance(block, nn.Sequential) or len(block) < 2:
            continue
        layer, norm = block[0], block[1]
        if isinstance(layer, nn.Conv2d) and isinstance(norm, FrozenBatchNorm2d):
            layer.bias = nn.Parameter(torch.empty(layer.out_channels, device="meta"))
            block[1] = nn.Identity()


def _complete(state: dict[str, torch.Tensor], module: nn.Module) -> dict[str, torch.Tensor]:
    """``state`` with what a graph leaves out: biases of zero, and mask rows that an adapter replaces (as zeros)."""
    state = dict(state)
    for name, tensor in module.state_dict().items():
        replaced = name.startswith("mask_fcn_logits.") and "adapter.hidden.weight" in state
        if name not in state and (replaced or f"{name.removesuffix('bias')}weight" in state):
            state[name] = torch.zeros(tensor.shape)
    return state


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _inner_shapes(graph: onnx.ModelProto, path: Path) -> dict[str, list[int]]:
    """The shapes of the values that a later generation reads."""
    found = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.graph.value_info}
    missing = [name for name in INNER if name not in found]
    if missing:
        raise EdgekitError(f"{path}: has no {', '.join(missing)}", AGAIN)
    return {name: found[name] for name in INNER}


def _merge(graph: onnx.ModelProto, part: onnx.ModelProto, number: int, names: list[str]) -> None:
    """Append ``part``'s nodes to ``graph`` and join the values ``names``: detections in a row, the logits replaced."""
    import onnx
    from onnx import helper

    earlier = {name: f"until.{number - 1}.{name}" for name in names}
    later = {f"appended.{name}": f"generations.{number}.{name}" for name in names}
    _rename(graph.graph, earlier)
    later["appended.predictors.logits"] = "predictors.logits"
    taken = {v: v for v in INNER} | {"predictors.logits": earlier["predictors.logits"]}
    weights = {t.name: t.name for t in part.graph.initializer if t.name.startswith("model.")}
    inside = {o for node in part.graph.node for o in node.output} | {t.name for t in part.graph.initializer}
    _rename(part.graph, {n: f"generations.{number}.{n}" for n in inside} | weights | taken | later)
    for node in part.graph.node:
        node.name = f"generations.{number}.{node.name}"
    held = {t.name: t for t in graph.graph.initializer}
    for tensor in part.graph.initializer:
        if tensor.name not in held:
            graph.graph.initializer.append(tensor)
        elif held[tensor.name].raw_data != tensor.raw_data:
            raise RuntimeError(f"{tensor.name} differs from the base graph's")
    graph.graph.node.extend(part.graph.node)
    shapes = {v.name: v for v in [*part.graph.output, *part.graph.value_info]}
    outputs = {v.name: v for v in graph.graph.output}
    del graph.graph.output[:]
    for name in names[:-1]:
        old, new = outputs[earlier[name]], shapes[f"generations.{number}.{name}"]
        graph.graph.node.append(
            helper.make_node("Concat", [old.name, new.name], [name], f"join {name} {number}", axis=1)
        )
        total = onnx.ValueInfoProto()
        total.CopyFrom(old)
        total.name = name
        total.type.tensor_type.shape.dim[1].dim_value += new.type.tensor_type.shape.dim[1].dim_value
        graph.graph.output.append(total)
        graph.graph.value_info.append(old)
    graph.graph.value_info.extend(v for name, v in shapes.items() if name not in held)


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename values throughout a graph."""
    for node in graph.node:
        node.input[:] = [names.get(n, n) for n in node.input]
        node.output[:] = [names.get(n, n) for n in node.output]
    for value in [*graph.initializer, *graph.input, *graph.output, *graph.value_info]:
        value.name = names.get(value.name, value.name)

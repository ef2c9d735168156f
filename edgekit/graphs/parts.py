"""A base model's graph cut into the parts that packs are installed beside."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import numpy_helper
from onnx.external_data_helper import set_external_data

from edgekit.artifacts.manifest import BASE, BOX_HEAD, CHOOSE, WEIGHTS, mask_head, masks
from edgekit.artifacts.metadata import METADATA_KEY
from edgekit.artifacts.value_names import (
    BOX_FEATURES,
    BOXES,
    CANDIDATES,
    CHANNELS,
    CHOSEN,
    CHOSEN_BOXES,
    FEATURES,
    FOUND,
    IMAGES,
    LOGITS,
    MADE_MASKS,
    MASK_FEATURES,
    MASKS,
    PROPOSALS,
    PROPOSED,
)
from edgekit.graphs.branches import as_model, branch, with_rows
from edgekit.graphs.editing import dims_in, graph_of

SLOTS = (4, 16)  # boxes per run of the mask graphs
BOX_ROIS = 272  # boxes per run of the box head, at most: to learn from
SHARED_BYTES = 1024  # weights of at least this size are in one file, equal ones once
ALIGNMENT = 4096  # of a tensor in it, so that it can be mapped into memory
ROI_HEADS = "model.base.roi_heads."  # how the names of the RoI heads' weights begin in a graph
PREDICTORS = (f"{ROI_HEADS}box_predictor.", f"{ROI_HEADS}mask_predictor.")


def cut(model: onnx.ModelProto) -> dict[str, onnx.ModelProto]:
    """The parts of an exported graph of a base model alone, for one image per run, of any precision, by file name.

    ``BASE`` detects, without masks, and gives the values that the others and packs read. Nodes and weights stay what
    they are.
    """
    whole = graph_of(model)
    values = ir.convenience.create_value_mapping(whole)
    heads, predictors = {BOX_HEAD: head(whole, PROPOSALS, BOX_FEATURES, BOX_ROIS)}, {}
    if MASK_FEATURES in values:
        slots = dims_in(values[CHOSEN_BOXES])[0]
        for count in sorted({min(count, slots) for count in SLOTS}):
            heads[mask_head(count)] = head(whole, CHOSEN_BOXES, MASK_FEATURES, count)
            made = branch(whole, [MASK_FEATURES, CHANNELS], [MADE_MASKS])
            with_rows(made, [MASK_FEATURES, CHANNELS], count)
            made.inputs[0].name, made.outputs[0].name = FEATURES, MASKS
            predictors[masks(count)] = made
    read = [v.name for part in heads.values() for v in part.inputs[1:]]
    given = dict.fromkeys([*FOUND, PROPOSALS, PROPOSED, BOX_FEATURES, LOGITS, *read])
    base, choose = ir.convenience.extract(whole, [IMAGES], list(given)), branch(whole, CANDIDATES, CHOSEN)
    parts = {**heads, **predictors, BASE: base, CHOOSE: choose}
    return {name: as_model(part, model.ir_version) for name, part in parts.items()}


def head(whole: ir.Graph, boxes: str, features: str, rois: int) -> ir.Graph:
    """A graph's RoI head, for at most ``rois`` boxes: boxes [R, 4] and the features it pools -> features."""
    part = branch(whole, [boxes], [features])
    with_rows(part, [boxes], min(rois, dims_in(part.inputs[0])[0]))
    part.inputs[0].name, part.outputs[0].name = BOXES, FEATURES
    return part


def predictors_in(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The weights of a float32 graph's base predictors, named as in torchvision's ``roi_heads``."""
    held = [t for t in model.graph.initializer if t.name.startswith(PREDICTORS)]
    return {t.name.removeprefix(ROI_HEADS): numpy_helper.to_array(t) for t in held}


def save_sharing_weights(folder: Path, parts: Mapping[str, onnx.ModelProto]) -> None:
    """Write graphs to ``folder``, their large tensors to one file beside them (ONNX's external data), each once.

    ``CHOOSE``, which becomes part of other graphs, has all of its own.
    """
    offsets: dict[str, tuple[int, int]] = {}
    with (folder / WEIGHTS).open("wb") as file:
        for part in (part for name, part in parts.items() if name != CHOOSE):
            for tensor in part.graph.initializer:
                if len(tensor.raw_data) < SHARED_BYTES:
                    continue
                digest = hashlib.sha256(tensor.raw_data).hexdigest()
                if digest not in offsets:
                    file.write(b"\0" * (-file.tell() % ALIGNMENT))
                    offsets[digest] = file.tell(), len(tensor.raw_data)
                    file.write(tensor.raw_data)
                set_external_data(tensor, WEIGHTS, *offsets[digest])
                tensor.ClearField("raw_data")
    for name, part in parts.items():
        part.producer_name = METADATA_KEY
        (folder / name).write_bytes(part.SerializeToString())


def slots_of(parts: Mapping[str, onnx.ModelProto]) -> tuple[int, ...]:
    """The numbers of boxes that there are mask graphs for; none of a Faster R-CNN."""
    return tuple(count for count in range(1, max(SLOTS) + 1) if mask_head(count) in parts)

"""A finished graph cut in two: a detector without masks, and graphs that make the masks of the slots it filled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import onnx
import onnx_ir as ir

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.value_names import BOXES, INNER, LABELS, MASKS, OUTPUTS, mask_values
from edgekit.deployment.edits.editing import constant, dims_in, is_weight, nodes_leading_to, remove_unused_nodes
from edgekit.deployment.edits.static_check import check_static

SLOTS = (4, 16)  # boxes that one run of a mask graph takes
SHAPED, BROADCASTING = ("Reshape", "Expand"), ("Where", "Add", "Sub", "Mul", "Div", "Min", "Max", "Greater")


@dataclass(frozen=True)
class Cut:
    """The parts of a graph: ``detector`` has the values that the mask graphs read as outputs instead of masks.

    ``masks`` holds a graph for each generation and number of slots k: it takes those values under their names, boxes
    [k, 4] and labels [k], and gives masks [k, 28, 28].
    """

    detector: onnx.ModelProto
    masks: dict[tuple[int, int], onnx.ModelProto]


def cut_masks(model: onnx.ModelProto, meta: ModelMeta, slots: Iterable[int] = SLOTS) -> Cut:
    """Cut a graph for one canvas a run, of any precision, before its mask branches.

    Nodes and weights stay what they are, so a branch computes for a slot what it did in the whole graph; only the
    number of slots, the leading dimension of all that a branch computes, differs.
    """
    whole = ir.from_proto(model)
    values = ir.convenience.create_value_mapping(whole.graph)
    outputs = OUTPUTS[:3]
    detecting = nodes_leading_to(values[name] for name in (*outputs, *INNER))
    sizes = meta.group_sizes
    masks, features = {}, dict[str, None]()
    for number, first in enumerate([0, *accumulate(sizes)][: len(sizes)]):
        boxes, channels, made = mask_values(number)
        branch = nodes_leading_to([values[made]]) - detecting
        read = {v.name for n in branch for v in n.inputs if v is not None and not is_weight(v)}
        own = {v.name for n in branch for v in n.outputs}
        border = sorted(read - own - {boxes, channels})
        features |= dict.fromkeys(border)
        for count in sorted({min(s, dims_in(values[boxes])[0]) for s in slots}):
            part = ir.convenience.extract(whole.graph, [*border, boxes, channels], [made])
            _take_slots(part, count)
            _name_ends(part, first)
            masks[number, count] = _finished(part, whole)
    inner = [name for name in INNER if name not in features]  # nothing may read them, but they stay
    detector = ir.convenience.extract(whole.graph, list(whole.graph.inputs), [*outputs, *features, *inner])
    detector.outputs[len(detector.outputs) - len(inner) :] = []
    return Cut(_finished(detector, whole), masks)


def _take_slots(branch: ir.Graph, count: int) -> None:
    """Have a mask branch, whose last inputs are its slots' boxes and channels, take ``count`` slots.

    Slots are the leading dimension, or a factor of it, of every value that depends on them. The whole graph pools its
    slots in parts: here the first part has all.
    """
    boxes, channels = branch.inputs[-2:]
    slots = dict.fromkeys((boxes, channels), dims_in(boxes)[0])  # of every value that depends on them
    parting = []
    for node in branch:
        here = max((slots[v] for v in node.inputs if v in slots), default=0)
        if not here:
            continue
        slots |= dict.fromkeys(node.outputs, here)
        if node.op_type in ("Split", "Concat") and node.attributes.get_int("axis", 0) == 0:
            parting.append(node)
            read = sum(dims_in(v)[0] for v in node.inputs if v in slots)
            filled = sum(slots.get(v, 0) for v in node.inputs)
            slots |= {v: filled * dims_in(v)[0] // read for v in node.outputs}
            continue
        for place, value in enumerate(node.inputs):
            if is_weight(value):
                node.replace_input_with(place, _resized(branch, node, place, here, count))
    for node in parting:
        node.outputs[0].replace_all_uses_with(node.inputs[0])
    for value in {v for n in branch for v in n.outputs} - set(branch.outputs):
        value.shape = None  # of all slots
    for value in (boxes, channels, *branch.outputs):
        value.shape = ir.Shape([count, *dims_in(value)[1:]])


def _resized(branch: ir.Graph, node: ir.Node, place: int, slots: int, count: int) -> ir.Value:
    """A node's constant for ``count`` slots, itself if it does not depend on their number ``slots``."""
    value = node.inputs[place]
    values = value.const_value.numpy()
    if node.op_type in SHAPED and place == 1 and values[0] > (1 if node.op_type == "Expand" else 0):
        if values[0] % slots:
            raise RuntimeError(f"{node.name}: the shape {values.tolist()} of a value of {slots} slots")
        other = values.copy()
        other[0] = values[0] // slots * count
    elif node.op_type in BROADCASTING and values.ndim > 1 and len(values) == slots:
        other = values[:count]
    else:
        return value
    return constant(branch, f"{value.name}.{slots}.of.{count}", other)


def _name_ends(branch: ir.Graph, first: int) -> None:
    """Name a mask branch's inputs and output, and have it take labels; ``first`` is that of channel 0."""
    boxes, channels = branch.inputs[-2:]
    boxes.name, branch.outputs[0].name = BOXES, MASKS
    if not first:
        channels.name = LABELS
        return
    labels = ir.val(LABELS, channels.dtype, channels.shape)
    first_label = constant(branch, "first_label", np.array(first, np.int64))
    shift = ir.node("Sub", [labels, first_label], name="channels", outputs=[ir.val("channels")])
    channels.replace_all_uses_with(shift.outputs[0])
    branch.inputs[-1] = labels
    branch.insert_before(branch[0], shift)


def _finished(graph: ir.Graph, whole: ir.Model) -> onnx.ModelProto:
    """A part as a model, checked."""
    part = ir.Model(graph, ir_version=whole.ir_version)
    remove_unused_nodes(part)
    model = onnx.shape_inference.infer_shapes(ir.to_proto(part), check_type=True, strict_mode=True, data_prop=True)
    check_static(model)
    return model

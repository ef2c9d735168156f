"""A finished graph cut in two: a detector without masks, and graphs that make the masks of the slots it filled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from edgekit.artifacts.graph_shapes import dims_of
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.value_names import INNER, OUTPUTS
from edgekit.deployment.edits.graph_search import constants_of, leading_to
from edgekit.deployment.edits.static_check import check_static

if TYPE_CHECKING:
    import onnx

SLOTS = (4, 16)  # boxes that one run of a mask graph takes
SHAPED, BROADCASTING = ("Reshape", "Expand"), ("Where", "Add", "Sub", "Mul", "Div", "Min", "Max", "Greater")
JOINING = ("Concat", "Unsqueeze", "Identity")  # what puts the generations' masks together


@dataclass(frozen=True)
class Cut:
    """The parts of a graph: ``detector`` has the values that the mask graphs read as outputs instead of masks.

    ``masks`` holds a graph for each generation and number of slots k: it takes those values under their names, boxes
    [k, 4] and labels [k], and gives masks [k, 28, 28].
    """

    detector: onnx.ModelProto
    masks: dict[tuple[int, int], onnx.ModelProto]


def cut_masks(graph: onnx.ModelProto, meta: ModelMeta, slots: Iterable[int] = SLOTS) -> Cut:
    """Cut a graph for one canvas a run, of any precision, before its mask branches.

    Nodes and weights stay what they are, so a branch computes for a slot what it did in the whole graph; only the
    number of slots, the leading dimension of all that a branch computes, differs.
    """
    branches = _branches(graph.graph)
    sizes = meta.group_sizes
    first_labels = [0, *accumulate(sizes)][: len(sizes)]
    if len(branches) != len(sizes):
        raise RuntimeError(f"{len(branches)} mask branches for {len(sizes)} generations")
    rest = [*OUTPUTS[:3], *INNER]
    detecting = leading_to(graph.graph.node, rest)
    masks, features = {}, dict[str, None]()
    for number, (branch, first) in enumerate(zip(branches, first_labels, strict=True)):
        own = leading_to(graph.graph.node, [branch]) - detecting
        nodes = [n for n in graph.graph.node if n.name in own]
        border = _Border.of(graph.graph, nodes)
        features |= dict.fromkeys(border.features)
        for count in sorted({min(s, border.slots) for s in slots}):
            masks[number, count] = _mask_graph(graph, nodes, border, branch, first, count)
    return Cut(_detector(graph, detecting, list(features)), masks)


@dataclass(frozen=True)
class _Border:
    """The values that a mask branch reads from the detector: its slots' boxes and channels, and the features."""

    boxes: str
    channels: str
    features: tuple[str, ...]
    slots: int

    @classmethod
    def of(cls, graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> _Border:
        """Find them among what ``nodes`` read and do not make."""
        from onnx import TensorProto

        infos, held = _infos(graph), constants_of(graph)
        made = {o for n in nodes for o in n.output}
        read = dict.fromkeys(i for n in nodes for i in n.input if i and i not in made and i not in held)
        kinds = {name: (infos[name].type.tensor_type.elem_type, dims_of(infos[name])) for name in read}
        channels = [n for n, (kind, dims) in kinds.items() if kind == TensorProto.INT64 and len(dims) == 1]
        slots = kinds[channels[0]][1][0] if channels else 0
        boxes = [n for n, kind in kinds.items() if kind == (TensorProto.FLOAT, [slots, 4])]
        features = tuple(n for n in read if n not in (*channels, *boxes))
        if len(channels) != 1 or len(boxes) != 1 or not features:
            raise RuntimeError(f"a mask branch reads {kinds}")
        return cls(boxes[0], channels[0], features, slots)


def _branches(graph: onnx.GraphProto) -> list[str]:
    """Each generation's masks [D, 28, 28], which nodes that only join make the output of."""
    producers = {o: n for n in graph.node for o in n.output}

    def leaves(name: str) -> list[str]:
        node = producers[name]
        if node.op_type not in JOINING:
            return [name]
        return [x for i in node.input if i in producers for x in leaves(i)]

    return leaves("masks")


def _detector(graph: onnx.ModelProto, detecting: frozenset[str], features: list[str]) -> onnx.ModelProto:
    """The graph without its mask branches, and with ``features`` as further outputs."""
    infos = _infos(graph.graph)
    nodes = [n for n in graph.graph.node if n.name in detecting]
    outputs = [*(o for o in graph.graph.output if o.name != "masks"), *(infos[f] for f in features)]
    return _model(graph, nodes, list(graph.graph.input), outputs, constants_of(graph.graph))


def _mask_graph(
    graph: onnx.ModelProto, nodes: list[onnx.NodeProto], border: _Border, branch: str, first: int, count: int
) -> onnx.ModelProto:
    """A mask branch for ``count`` slots; ``first`` is the label of its channel 0."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    held, infos = constants_of(graph.graph), _infos(graph.graph)
    inputs = [infos[f] for f in border.features]
    inputs.append(helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [count, 4]))
    inputs.append(helper.make_tensor_value_info("labels", TensorProto.INT64, [count]))
    dims = [count, *dims_of(infos[branch])[1:]]
    outputs = [helper.make_tensor_value_info("masks", infos[branch].type.tensor_type.elem_type, dims)]
    renamed = {border.boxes: "boxes", border.channels: "labels", branch: "masks"}
    begin = []
    if first:
        import numpy as np

        held["first_label"] = numpy_helper.from_array(np.array(first, np.int64), "first_label")
        begin.append(helper.make_node("Sub", ["labels", "first_label"], ["channels"], "channels"))
        renamed[border.channels] = "channels"
    resized = _with_slots(nodes, border, infos, held, count)
    for node in resized:
        node.input[:] = [renamed.get(i, i) for i in node.input]
        node.output[:] = [renamed.get(o, o) for o in node.output]
    whole = _model(graph, [*begin, *resized], inputs, outputs, held)
    needed = leading_to(whole.graph.node, ["masks"])
    part = _model(graph, [n for n in whole.graph.node if n.name in needed], inputs, outputs, held)
    del part.graph.value_info[:]  # the shapes of the whole graph's slots
    part = onnx.shape_inference.infer_shapes(part, check_type=True, strict_mode=True, data_prop=True)
    check_static(part)
    return part


def _with_slots(
    nodes: list[onnx.NodeProto],
    border: _Border,
    infos: dict[str, onnx.ValueInfoProto],
    held: dict[str, onnx.TensorProto],
    count: int,
) -> list[onnx.NodeProto]:
    """Copies of a branch's nodes for ``count`` slots; constants of another size are added to ``held``.

    Slots are the leading dimension, or a factor of it, of every value that depends on them. The whole graph pools its
    slots in parts: here the first part has all.
    """
    slots = {border.boxes: border.slots, border.channels: border.slots}  # of every value that depends on them
    alias: dict[str, str] = {}
    copies = []
    for source in nodes:
        node = type(source).FromString(source.SerializeToString())
        here = max((slots[i] for i in source.input if i in slots), default=0)
        if not here:
            copies.append(node)
            continue
        slots |= dict.fromkeys(source.output, here)
        if source.op_type in ("Split", "Concat") and _axis(source) == 0:
            read = sum(dims_of(infos[i])[0] for i in source.input if i in slots)
            filled = sum(slots.get(i, 0) for i in source.input)
            slots |= {o: filled * dims_of(infos[o])[0] // read for o in source.output}
            alias[source.output[0]] = alias.get(source.input[0], source.input[0])
            continue
        for place, name in enumerate(source.input):
            node.input[place] = alias.get(name, name)
            if name in held:
                node.input[place] = _resized(source, place, here, count, held)
        copies.append(node)
    return copies


def _resized(
    node: onnx.NodeProto,
    place: int,
    slots: int,
    count: int,
    held: dict[str, onnx.TensorProto],
) -> str:
    """The name of a node's constant for ``count`` slots, its own if it does not depend on their number ``slots``."""
    from onnx import numpy_helper

    name = node.input[place]
    values = numpy_helper.to_array(held[name])
    if node.op_type in SHAPED and place == 1 and values[0] > (1 if node.op_type == "Expand" else 0):
        if values[0] % slots:
            raise RuntimeError(f"{node.name}: the shape {values.tolist()} of a value of {slots} slots")
        other = values.copy()
        other[0] = values[0] // slots * count
    elif node.op_type in BROADCASTING and values.ndim > 1 and len(values) == slots:
        other = values[:count]
    else:
        return name
    key = f"{name}.{slots}.of.{count}"
    held[key] = numpy_helper.from_array(other, key)
    return key


def _model(
    like: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    held: dict[str, onnx.TensorProto],
) -> onnx.ModelProto:
    """Nodes as a model, with those of the constants ``held`` and of the shapes of ``like`` that they have."""
    from onnx import helper

    used = {i for n in nodes for i in n.input}
    made = {o for n in nodes for o in n.output} - {o.name for o in outputs}
    graph = helper.make_graph(
        nodes,
        like.graph.name,
        inputs,
        outputs,
        [tensor for name, tensor in held.items() if name in used],
        value_info=[v for v in like.graph.value_info if v.name in made],
    )
    return helper.make_model(graph, opset_imports=list(like.opset_import), ir_version=like.ir_version)


def _infos(graph: onnx.GraphProto) -> dict[str, onnx.ValueInfoProto]:
    return {v.name: v for v in [*graph.value_info, *graph.input, *graph.output]}


def _axis(node: onnx.NodeProto) -> int:
    return next((a.i for a in node.attribute if a.name == "axis"), 0)

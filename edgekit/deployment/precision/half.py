"""A float32 graph as one that computes features in half precision and everything else in float32."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np

from edgekit.deployment.edits.graph_search import constants_of, consumers, feature_nodes, layers, matching

if TYPE_CHECKING:
    import onnx

    from edgekit.deployment.precision.calibration import Range

LARGEST = float(np.finfo(np.float16).max)
HEADROOM = 4  # photos may have larger values than those that were measured
# The float inputs that stay float32 in a half node: a Resize's regions and scales.
ONLY_FIRST = ("Resize",)
SUFFIX = ".half"


def to_fp16(model: onnx.ModelProto, keep: Sequence[str] = (), overflowing: Collection[str] = ()) -> onnx.ModelProto:
    """A copy of a graph whose features are computed in half, strongly typed: explicit Cast nodes, weights in half.

    Box decoding, anchors, NMS, TopK, RoIAlign's coordinates and weights, softmax, sigmoid of scores, normalisation and
    all inputs and outputs stay float32, and so do the values that later generations read, under their names. ``keep``
    names blocks or layers that stay float32 too, ``overflowing`` nodes whose values half cannot hold (``too_large``); a
    layer with such a weight stays float32 of itself.
    """
    half = deepcopy(model)
    in_half = half_nodes(half.graph, matching(half.graph, keep) | oversized(half.graph) | set(overflowing))
    _write(half, in_half)
    return half


def half_values(graph: onnx.GraphProto) -> tuple[str, ...]:
    """The values that ``to_fp16`` would compute in half, without those that only hold other values in another order."""
    from onnx import TensorProto

    in_half = half_nodes(graph)
    computed = {layer.node for layer in layers(graph)}
    computed |= {n.name for n in graph.node if n.name in in_half and n.op_type in ("Add", "Mul")}
    floats = {v.name for v in graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    return tuple(o for n in graph.node if n.name in computed for o in n.output if o in floats)


def too_large(graph: onnx.GraphProto, ranges: Mapping[str, Range]) -> tuple[str, ...]:
    """The names of the nodes whose values, by their measured ranges, come too near to the largest half."""
    large = {name for name, r in ranges.items() if max(-r.min, r.max) > LARGEST / HEADROOM}
    return tuple(n.name for n in graph.node if large & set(n.output))


def oversized(graph: onnx.GraphProto) -> frozenset[str]:
    """The layers with a weight or bias that half cannot hold."""
    from onnx import numpy_helper

    constants = constants_of(graph)
    names = {layer.node for layer in layers(graph)}
    large: dict[str, bool] = {}
    found = set()
    for node in graph.node:
        if node.name not in names:
            continue
        for name in node.input[1:]:
            if name in constants and name not in large:
                large[name] = not bool((np.abs(numpy_helper.to_array(constants[name])) <= LARGEST).all())
            if large.get(name):
                found.add(node.name)
    return frozenset(found)


def half_nodes(graph: onnx.GraphProto, in_float: frozenset[str] = frozenset()) -> frozenset[str]:
    """The names of the nodes to compute in half: layers and what follows them as features, but for ``in_float``."""
    found = {layer.node for layer in layers(graph)} - in_float
    between = feature_nodes(graph) - in_float
    halves = {o for n in graph.node if n.name in found for o in n.output}
    for node in graph.node:
        if node.name in between and any(i in halves for i in node.input):
            found.add(node.name)
            halves.update(node.output)
    return frozenset(found)


def _write(model: onnx.ModelProto, in_half: frozenset[str]) -> None:
    """Give ``in_half`` nodes half inputs and outputs, with a Cast wherever a value crosses the border."""
    from onnx import TensorProto, helper

    from edgekit.artifacts.value_names import INNER

    graph = model.graph
    infos = {v.name: v for v in [*graph.value_info, *graph.output, *graph.input]}
    constants, readers = constants_of(graph), consumers(graph)
    public = {o.name for o in graph.output} | set(INNER)
    nodes: list[onnx.NodeProto] = []
    ready: set[str] = set()  # float values that a Cast has made a half of
    produced = {o for n in graph.node if n.name in in_half for o in n.output}
    renamed: dict[str, str] = {}
    halved: set[str] = set()
    for source in graph.node:
        node = type(source).FromString(source.SerializeToString())
        nodes.append(node)
        if node.name not in in_half:
            continue
        for place, name in enumerate(source.input):
            if place and node.op_type in ONLY_FIRST:
                continue
            if name in constants:
                if constants[name].data_type == TensorProto.FLOAT:
                    node.input[place] = _half_constant(graph, constants, readers, in_half, halved, name)
            elif name in produced:
                node.input[place] = renamed.get(name, name)
            elif name in infos and infos[name].type.tensor_type.elem_type == TensorProto.FLOAT:
                if name not in ready:
                    nodes.insert(-1, helper.make_node("Cast", [name], [name + SUFFIX], f"to_half {name}", to=10))
                    graph.value_info.append(_info(infos[name], name + SUFFIX))
                    ready.add(name)
                node.input[place] = name + SUFFIX
        for place, name in enumerate(source.output):
            outside = any(n.name not in in_half for n in readers.get(name, []))
            if name in public or outside:
                renamed[name] = node.output[place] = name + SUFFIX
                nodes.append(helper.make_node("Cast", [name + SUFFIX], [name], f"to_float {name}", to=1))
                graph.value_info.append(_info(infos[name], name + SUFFIX))
            else:
                infos[name].type.tensor_type.elem_type = TensorProto.FLOAT16
    del graph.node[:]
    graph.node.extend(nodes)
    for name in halved:
        if name in infos:
            infos[name].type.tensor_type.elem_type = TensorProto.FLOAT16


def _half_constant(
    graph: onnx.GraphProto,
    constants: dict[str, onnx.TensorProto],
    readers: dict[str, list[onnx.NodeProto]],
    in_half: frozenset[str],
    halved: set[str],
    name: str,
) -> str:
    """Turn an initialiser to half, or a copy of it where a float32 node reads it too; the name to read it by."""
    from onnx import numpy_helper

    if name in halved:
        return name
    shared = any(n.name not in in_half or n.op_type in ONLY_FIRST for n in readers[name])
    target = name + SUFFIX if shared else name
    if shared and target in constants:
        return target
    array = np.clip(numpy_helper.to_array(constants[name]), -LARGEST, LARGEST)  # only bounds of a Clip are beyond
    tensor = numpy_helper.from_array(array.astype(np.float16), target)
    if shared:
        graph.initializer.append(tensor)
        constants[target] = graph.initializer[-1]
    else:
        constants[name].CopyFrom(tensor)
        halved.add(name)
    return target


def _info(like: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    """The same value in half under another name."""
    from onnx import TensorProto, ValueInfoProto

    info = ValueInfoProto()
    info.CopyFrom(like)
    info.name = name
    info.type.tensor_type.elem_type = TensorProto.FLOAT16
    return info

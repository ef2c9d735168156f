"""Make of each convolution with a frozen batch norm behind it one convolution with a bias."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgekit.deployment.features import constants_of, consumers, drop_unused

if TYPE_CHECKING:
    import onnx

KINDS = ("Conv", "ConvTranspose")


def fold_norms(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a graph in which a product and a sum by channel after a convolution are part of its weights.

    The last folded node's value keeps its name, the convolution its own, and its weight too unless another layer with
    another norm shares it. Quantising first and scaling after would give each channel the other's range.
    """
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    readers, kept = consumers(graph), {o.name for o in graph.output}
    dropped: set[int] = set()
    made: dict[tuple[str, ...], tuple[str, str]] = {}
    for node in graph.node:
        if node.op_type not in KINDS:
            continue
        chain, value = [], node.output[0]
        for kind in ("Mul", "Add"):
            after = readers.get(value, [])
            if value in kept or len(after) != 1 or after[0].op_type != kind or not _by_channel(graph, after[0], value):
                continue
            chain.append(after[0])
            value = after[0].output[0]
        if chain:
            _fold(graph, node, chain, made)
            dropped |= {id(n) for n in chain}
            node.output[0] = value
    left = [n for n in graph.node if id(n) not in dropped]
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in left]
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(graph)
    _take_old_names(graph)
    return copy


def _by_channel(graph: onnx.GraphProto, node: onnx.NodeProto, value: str) -> bool:
    """Whether the other operand is a constant with one number for all or one a channel: [1, C, 1, 1]."""
    other = _constant(graph, node, value)
    if other is None:
        return False
    shape = list(other.dims)
    return int(np.prod(shape)) == 1 or (len(shape) in (3, 4) and shape[-2:] == [1, 1] and shape[:-3] in ([], [1]))


def _constant(graph: onnx.GraphProto, node: onnx.NodeProto, value: str) -> onnx.TensorProto | None:
    names = [i for i in node.input if i != value]
    return constants_of(graph).get(names[0]) if len(names) == 1 else None


def _fold(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    chain: list[onnx.NodeProto],
    made: dict[tuple[str, ...], tuple[str, str]],
) -> None:
    """Change a convolution's weight and bias by the products and sums of ``chain``; ``made`` remembers shared ones."""
    from onnx import helper, numpy_helper

    constants = constants_of(graph)
    others = [next(i for i in n.input if i in constants) for n in chain]
    key = (*node.input[1:], *others)
    if key not in made:
        weight = numpy_helper.to_array(constants[node.input[1]]).astype(np.float64)
        groups = next((helper.get_attribute_value(a) for a in node.attribute if a.name == "group"), 1)
        transposed = node.op_type == "ConvTranspose"  # [C_in, C_out / groups, h, w]
        channels = weight.shape[1] * groups if transposed else weight.shape[0]
        has_bias = len(node.input) > 2 and node.input[2]
        bias = numpy_helper.to_array(constants[node.input[2]]).astype(np.float64) if has_bias else np.zeros(channels)
        for step, name in zip(chain, others, strict=True):
            values = np.broadcast_to(numpy_helper.to_array(constants[name]).astype(np.float64).reshape(-1), (channels,))
            if step.op_type == "Add":
                bias = bias + values
            elif transposed:
                by_input = np.repeat(values.reshape(groups, -1), weight.shape[0] // groups, axis=0)
                weight, bias = weight * by_input[:, :, None, None], bias * values
            else:
                weight, bias = weight * values.reshape(-1, *[1] * (weight.ndim - 1)), bias * values
        taken = {names[0].removesuffix(".folded") for names in made.values()}
        name = node.input[1] if node.input[1] not in taken else f"{node.input[1]}.{len(made)}"
        bias_name = f"{name.removesuffix('.weight')}.bias"
        made[key] = (f"{name}.folded", f"{bias_name}.folded")
        for folded, array in ((made[key][0], weight), (made[key][1], bias)):
            graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), folded))
    node.input[:] = [node.input[0], *made[key]]


def _take_old_names(graph: onnx.GraphProto) -> None:
    """Give folded weights the names of those that are gone."""
    held = {t.name for t in graph.initializer}
    names = {n: n.removesuffix(".folded") for n in held if n.endswith(".folded")}
    names = {old: new for old, new in names.items() if new not in held}
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [names.get(i, i) for i in node.input]

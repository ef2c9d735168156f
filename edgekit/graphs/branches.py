"""Parts of a detector's graph, cut out to be run on their own: on other numbers of rows, or once more in a graph."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import onnx
import onnx_ir as ir

from edgekit.graphs.editing import constant, dims_in, inferred, is_weight, nodes_leading_to
from edgekit.graphs.static_check import check_static

SHAPED, BROADCASTING = ("Reshape", "Expand"), ("Where", "Add", "Sub", "Mul", "Div", "Min", "Max", "Greater")


def branch(graph: ir.Graph, given: Sequence[str], made: Sequence[str]) -> ir.Graph:
    """A copy of the nodes that compute the values ``made`` from ``given``.

    Its inputs are ``given`` and then, as far as it reads them, values that depend on the image in another way, e.g. the
    table of features. Nodes and weights stay what they are, in any precision.
    """
    values = ir.convenience.create_value_mapping(graph)
    leading = nodes_leading_to(values[name] for name in made)
    from_image, from_given = set(graph.inputs), {values[name] for name in given}
    border: dict[str, None] = {}
    for node in graph:
        if node not in leading:
            continue
        if from_given.intersection(node.inputs):
            from_given.update(node.outputs)
            border |= dict.fromkeys(v.name for v in node.inputs if v in from_image and v not in from_given)
        elif from_image.intersection(node.inputs):
            from_image.update(node.outputs)
    read = [name for name in border if name not in given]
    return ir.convenience.extract(graph, [*given, *read], list(made))


def with_rows(part: ir.Graph, given: Collection[str], count: int) -> None:
    """Have a part take ``count`` rows instead of those that its inputs ``given`` have.

    Rows are the leading dimension, or a factor of it, of every value that depends on these. A graph pools many rows in
    several parts: here the first of them has all.
    """
    taken = [v for v in part.inputs if v.name in given]
    rows = {value: dims_in(value)[0] for value in taken}  # of every value that depends on them
    parting = []
    for node in part:
        here = max((rows[v] for v in node.inputs if v in rows), default=0)
        if not here:
            continue
        rows |= dict.fromkeys(node.outputs, here)
        if node.op_type in ("Split", "Concat") and node.attributes.get_int("axis", 0) == 0:
            parting.append(node)
            read = sum(dims_in(v)[0] for v in node.inputs if v in rows)
            filled = sum(rows.get(v, 0) for v in node.inputs)
            rows |= {v: filled * dims_in(v)[0] // read for v in node.outputs}
            continue
        for place, value in enumerate(node.inputs):
            if is_weight(value):
                node.replace_input_with(place, _resized(part, node, place, here, count))
    for node in parting:
        node.outputs[0].replace_all_uses_with(node.inputs[0])
    for value in {v for n in part for v in n.outputs} - set(part.outputs):
        value.shape = None  # of all rows
    for value in (*taken, *part.outputs):
        value.shape = ir.Shape([count, *dims_in(value)[1:]])


def _resized(part: ir.Graph, node: ir.Node, place: int, rows: int, count: int) -> ir.Value:
    """A node's constant for ``count`` rows, itself if it does not depend on their number ``rows``."""
    value = node.inputs[place]
    values = value.const_value.numpy()
    if node.op_type in SHAPED and place == 1 and values[0] > (1 if node.op_type == "Expand" else 0):
        if values[0] % rows:
            raise RuntimeError(f"{node.name}: the shape {values.tolist()} of a value of {rows} rows")
        other = values.copy()
        other[0] = values[0] // rows * count
    elif node.op_type in BROADCASTING and values.ndim > 1 and len(values) == rows:
        other = values[:count]
    else:
        return value
    return constant(part, f"{value.name}.{rows}.of.{count}", other)


def as_model(part: ir.Graph, ir_version: int) -> onnx.ModelProto:
    """A part as a model, with all shapes, checked."""
    model = inferred(ir.Model(part, ir_version=ir_version))
    check_static(model)
    return model


def inline(graph: ir.Graph, part: ir.Graph, given: Mapping[str, ir.Value], prefix: str) -> list[ir.Value]:
    """Move a part's nodes to the end of a graph, its inputs being values of that; returns its outputs there.

    Constants that the graph has under their names are those; all other names begin with ``prefix`` then.
    """
    for value in part.inputs:
        value.replace_all_uses_with(given[value.name])
    nodes, outputs = list(part), list(part.outputs)
    for value in list(part.initializers.values()):
        del part.initializers[value.name]
        if value.name in graph.initializers:
            value.replace_all_uses_with(graph.initializers[value.name])
        else:
            graph.register_initializer(value)
    for node in nodes:
        node.name = f"{prefix}{node.name}"
        for value in node.outputs:
            value.name = f"{prefix}{value.name}"
    part.outputs.clear()
    part.remove(nodes)
    graph.extend(nodes)
    return outputs

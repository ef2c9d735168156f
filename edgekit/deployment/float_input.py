"""A graph that takes normalised images: the nodes that normalise them are cut off a finished graph's start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.deployment.features import consumers, drop_unused
from edgekit.deployment.static_check import check_static
from edgekit.errors import EdgekitError

if TYPE_CHECKING:
    import onnx

NORMALISING = ("Cast", "Div", "Sub", "Div", "Transpose")  # what model/generations.py's ``normalise`` is in a graph


def set_input_type(graph: onnx.ModelProto, input_type: str | None, now: str) -> str:
    """Make a graph that takes ``now`` take ``input_type`` (None: ``now``), in place; returns what it then takes."""
    if input_type in (None, now):
        return now
    if input_type == "uint8":
        raise EdgekitError("--input uint8: the graph takes normalised images already", "export it from its checkpoint")
    cut_normalisation(graph)
    return input_type


def cut_normalisation(graph: onnx.ModelProto) -> None:
    """Make a graph's input, uint8 [N, H, W, 3], what it computes of that first: float32 [N, 3, H, W]; in place.

    All other nodes and weights, of whatever precision, stay what they are.
    """
    from onnx import TensorProto

    images = graph.graph.input[0]
    readers = consumers(graph.graph)
    cut, value = [], images.name
    for kind in NORMALISING:
        if [n.op_type for n in readers[value]] != [kind]:
            raise RuntimeError(f"{value} is read by {[n.op_type for n in readers[value]]}, not by one {kind}")
        cut.append(readers[value][0])
        value = cut[-1].output[0]
    made = {o for n in cut for o in n.output}
    shapes = {v.name: v.type for v in graph.graph.value_info if v.name in made}
    if shapes[value].tensor_type.elem_type != TensorProto.FLOAT:
        raise RuntimeError(f"{value} is not float32")
    images.type.CopyFrom(shapes[value])
    for node in cut:
        graph.graph.node.remove(node)
    for node in graph.graph.node:
        node.input[:] = [images.name if i == value else i for i in node.input]
    drop_unused(graph.graph)
    check_static(graph)

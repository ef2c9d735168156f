"""Make a graph take float32 planes of bytes, as DeepStream's nvinfer and OpenCV's blobFromImage make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.deployment.edits.graph_search import constants_of, consumers, drop_unused
from edgekit.deployment.edits.static_check import check_static
from edgekit.errors import EdgekitError

if TYPE_CHECKING:
    import onnx

NORMALISING = ("Cast", "Div", "Sub", "Div", "Transpose")  # what model/generations.py's ``normalise`` is in a graph


def set_input_type(graph: onnx.ModelProto, input_type: str | None, now: str) -> str:
    """Make a graph that takes ``now`` take ``input_type`` (None: ``now``), in place; returns what it then takes."""
    if input_type in (None, now):
        return now
    if input_type == "uint8":
        raise EdgekitError("--input uint8: the graph takes float32 images already", "export it from its checkpoint")
    take_planes(graph)
    return input_type


def take_planes(graph: onnx.ModelProto) -> None:
    """Make a graph's input, uint8 [N, H, W, 3], float32 [N, 3, H, W] of the same values, in place.

    The images are normalised by the same operations in the same order, so a float32 graph finds the same to the last
    bit. All other nodes and weights, of whatever precision, stay what they are.
    """
    from onnx import TensorProto, numpy_helper

    images = graph.graph.input[0]
    cast, scale, shift, spread, transpose = _normalising(graph.graph)
    constants = constants_of(graph.graph)
    for node in (shift, spread):  # [W, 3] becomes [3, 1, W]
        by_pixel = numpy_helper.to_array(constants[node.input[1]])
        by_plane = f"{node.input[1]}.planes"
        graph.graph.initializer.append(numpy_helper.from_array(by_pixel.T[:, None].copy(), by_plane))
        node.input[1] = by_plane
    planes = next(v.type for v in graph.graph.value_info if v.name == transpose.output[0])
    if planes.tensor_type.elem_type != TensorProto.FLOAT:
        raise RuntimeError(f"{transpose.output[0]} is not float32")
    images.type.CopyFrom(planes)
    for value in graph.graph.value_info:
        if value.name in (scale.output[0], shift.output[0]):
            value.type.CopyFrom(planes)
    scale.input[0] = images.name
    spread.output[0] = transpose.output[0]
    for node in (cast, transpose):
        graph.graph.node.remove(node)
    drop_unused(graph.graph)
    check_static(graph)


def _normalising(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that normalise a graph's input, in their order."""
    readers = consumers(graph)
    found, value = [], graph.input[0].name
    for kind in NORMALISING:
        if [n.op_type for n in readers[value]] != [kind]:
            raise RuntimeError(f"{value} is read by {[n.op_type for n in readers[value]]}, not by one {kind}")
        found.append(readers[value][0])
        value = found[-1].output[0]
    return found

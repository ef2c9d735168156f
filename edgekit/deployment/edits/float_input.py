"""Make a graph take float32 planes of bytes, as DeepStream's nvinfer and OpenCV's blobFromImage make them."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from edgekit.errors import EdgekitError
from edgekit.graphs.editing import constant, editing
from edgekit.graphs.static_check import check_static

NORMALISING = ("Cast", "Div", "Sub", "Div", "Transpose")  # what model/generations.py's ``normalise`` is in a graph


def set_input_type(model: onnx.ModelProto, input_type: str | None, now: str) -> str:
    """Make a graph that takes ``now`` take ``input_type`` (None: ``now``), in place; returns what it then takes."""
    if input_type in (None, now):
        return now
    if input_type == "uint8":
        raise EdgekitError("--input uint8: the graph takes float32 images already", "export it from its checkpoint")
    with editing(model) as graph:
        take_planes(graph)
    check_static(model)
    return input_type


def take_planes(graph: ir.Graph) -> None:
    """Make a graph's input, uint8 [N, H, W, 3], float32 [N, 3, H, W] of the same values.

    The images are normalised by the same operations in the same order, so a float32 graph finds the same to the last
    bit. All other nodes and weights, of whatever precision, stay what they are.
    """
    images = graph.inputs[0]
    _, scale, shift, spread, transpose = _normalising(images)
    planes = transpose.outputs[0]
    if planes.dtype != ir.DataType.FLOAT:
        raise RuntimeError(f"{planes.name} is not float32")
    for node in (shift, spread):  # [W, 3] becomes [3, 1, W]
        by_pixel = node.inputs[1]
        by_plane = by_pixel.const_value.numpy().T[:, None].copy()
        node.replace_input_with(1, constant(graph, f"{by_pixel.name}.planes", by_plane))
    scale.replace_input_with(0, images)
    images.type, images.shape = planes.type, planes.shape
    for node in (scale, shift):
        node.outputs[0].shape = planes.shape
    ir.convenience.replace_nodes_and_values(graph, spread, [transpose], [], [planes], spread.outputs)


def _normalising(value: ir.Value) -> list[ir.Node]:
    """The nodes that normalise a graph's input, in their order."""
    found: list[ir.Node] = []
    for kind in NORMALISING:
        readers = value.consumers()
        if [n.op_type for n in readers] != [kind]:
            raise RuntimeError(f"{value.name} is read by {[n.op_type for n in readers]}, not by one {kind}")
        found.append(readers[0])
        value = readers[0].outputs[0]
    return found

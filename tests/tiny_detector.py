"""A detector of a few nodes, as an ONNX file that edgekit reads and TensorRT-RTX compiles in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import write_onnx

SIZE, SLOTS = (8, 12), 3
META = ModelMeta("maskrcnn_resnet50_fpn", (("__background__", "dog"), ("frog",)), SIZE)


def write_tiny_detector(
    path: Path,
    masks: bool = True,
    more: Sequence[onnx.NodeProto] = (),
    images: str = "images",
    batch: int = 1,
    meta: ModelMeta = META,
) -> Path:
    """Write it; ``more`` are nodes that read "flat" [N, H * W * 3] and whose first output becomes an output."""
    height, width = SIZE
    rng = np.random.default_rng(0)
    pixels = height * width * 3
    constants = {
        "flat_shape": np.array([batch, pixels]),
        "box_weight": (rng.normal(size=(pixels, 4 * SLOTS)) / 1e4).astype(np.float32),
        "box_middle": np.array([1, 1, 8, 6, 0, 2, 4, 7, 5, 1, 11, 5], np.float32),  # about which boxes lie
        "box_shape": np.array([batch, SLOTS, 4]),
        "score_weight": (rng.normal(size=(pixels, SLOTS)) / 2000).astype(np.float32),
        "half": np.array(0.5, np.float32),
        "one": np.array(1, np.int64),
        "mask_shape": np.array([batch, SLOTS, 1, 1]),
        "shape": rng.random((1, 1, 28, 28)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", [images], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["float", "flat_shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "box_weight"], ["box_values"]),
        helper.make_node("Add", ["box_values", "box_middle"], ["box_sides"]),
        helper.make_node("Reshape", ["box_sides", "box_shape"], ["boxes"]),
        helper.make_node("MatMul", ["flat", "score_weight"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
        helper.make_node("Greater", ["scores", "half"], ["sure"]),
        helper.make_node("Cast", ["sure"], ["number"], to=TensorProto.INT64),
        helper.make_node("Add", ["number", "one"], ["labels"]),
        helper.make_node("Reshape", ["scores", "mask_shape"], ["tall"]),
        helper.make_node("Mul", ["tall", "shape"], ["masks"]),
        *more,
    ]
    outputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [batch, SLOTS, 4]),
        helper.make_tensor_value_info("labels", TensorProto.INT64, [batch, SLOTS]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, SLOTS]),
        helper.make_tensor_value_info("masks", TensorProto.FLOAT, [batch, SLOTS, 28, 28]),
        *(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, [batch, pixels]) for node in more),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(images, TensorProto.UINT8, [batch, height, width, 3])],
        [o for o in outputs if masks or o.name != "masks"],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("theirs", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    write_onnx(path, onnx.shape_inference.infer_shapes(model), meta)
    return path

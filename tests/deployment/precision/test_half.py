from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edgekit.artifacts.value_names import INNER
from edgekit.deployment.edits.layers import layers
from edgekit.deployment.precision.calibration import Range
from edgekit.deployment.precision.half import half_values, to_fp16, too_large
from edgekit.deployment.precision.keep import detections, difference
from edgekit.graphs.editing import graph_of
from edgekit.graphs.static_check import check_static


@pytest.fixture(scope="module")
def fp16(fp32: onnx.ModelProto) -> onnx.ModelProto:
    return to_fp16(fp32)


def kinds_of(model: onnx.ModelProto) -> dict[str, int]:
    """The type of each value, as inferred, so as it is."""
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    values = [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]
    return {v.name: v.type.tensor_type.elem_type for v in values}


def test_features_are_half_and_geometry_is_not(fp16: onnx.ModelProto) -> None:
    kinds = kinds_of(fp16)
    for node in fp16.graph.node:
        kind = kinds[node.output[0]]
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "Resize", "MaxPool"):
            assert kind == TensorProto.FLOAT16, node.name
        elif node.op_type in ("Softmax", "Sigmoid", "Exp", "TopK", "Div", "Floor", "Sqrt", "Log", "Min"):
            assert kind != TensorProto.FLOAT16, node.name
    assert len([n for n in fp16.graph.node if n.op_type == "Cast" and n.name.startswith("to_")]) < 30


def test_inputs_outputs_and_inner_values_keep_name_and_type(fp32: onnx.ModelProto, fp16: onnx.ModelProto) -> None:
    assert list(fp16.graph.input) == list(fp32.graph.input)
    assert list(fp16.graph.output) == list(fp32.graph.output)
    before = {v.name: v for v in fp32.graph.value_info}
    after = {v.name: v for v in fp16.graph.value_info}
    for name in INNER:
        assert after[name].type == before[name].type


def test_shapes_stay_complete_and_true(fp16: onnx.ModelProto) -> None:
    check_static(fp16)
    values = {v.name: v.type.tensor_type.elem_type for v in [*fp16.graph.value_info, *fp16.graph.output]}
    kinds = kinds_of(fp16)
    for node in fp16.graph.node:
        for name in node.output:
            assert values[name] == kinds[name], name


def test_weights_take_half_the_space(fp32: onnx.ModelProto, fp16: onnx.ModelProto) -> None:
    assert fp16.ByteSize() < 0.55 * fp32.ByteSize()


def test_detections_stay(fp32: onnx.ModelProto, fp16: onnx.ModelProto, canvases: list[np.ndarray]) -> None:
    assert difference(detections(fp32, canvases), detections(fp16, canvases)) < 0.01


def test_kept_blocks_stay_float32(fp32: onnx.ModelProto) -> None:
    kept = to_fp16(fp32, ("rpn", "body.3"))
    kinds = kinds_of(kept)
    floats = {x.block for x in layers(graph_of(fp32)) if kinds[node_of(kept, x.node).output[0]] == TensorProto.FLOAT}
    assert floats == {"rpn", "body.3"}
    check_static(kept)


def test_a_weight_beyond_half_keeps_its_layer(fp32: onnx.ModelProto) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(fp32)
    bias = next(t for t in model.graph.initializer if t.name.endswith("rpn.head.cls_logits.bias"))
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) - np.float32(1e6), bias.name))
    made = to_fp16(model)
    kinds = kinds_of(made)
    in_float = {x.weight for x in layers(graph_of(fp32)) if kinds[node_of(made, x.node).output[0]] == TensorProto.FLOAT}
    assert in_float == {"model.base.rpn.head.cls_logits.weight"}


def test_a_value_beyond_half_keeps_its_node(fp32: onnx.ModelProto, canvases: list[np.ndarray]) -> None:
    values = half_values(fp32)
    ranges = dict.fromkeys(values, Range(0.0, 1.0, 1 / 127)) | {values[20]: Range(-7e4, 0.0, 551.0)}
    large = too_large(fp32, ranges)
    assert len(large) == 1
    made = to_fp16(fp32, overflowing=large)
    check_static(made)
    assert kinds_of(made)[node_of(made, large[0]).output[0]] == TensorProto.FLOAT
    assert difference(detections(fp32, canvases), detections(made, canvases)) < 0.01


def node_of(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(n for n in model.graph.node if n.name == name)

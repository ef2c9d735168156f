from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, numpy_helper

from edgekit.artifacts.value_names import INNER
from edgekit.deployment.edits.layers import layers
from edgekit.deployment.precision.calibration import Table
from edgekit.deployment.precision.keep import detections, difference
from edgekit.deployment.precision.quantise import quantise
from edgekit.errors import EdgekitError
from edgekit.graphs.editing import graph_of
from edgekit.graphs.static_check import check_static


@pytest.fixture(scope="module", params=["tensorrt", "cpu"])
def target(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def int8(prepared: onnx.ModelProto, table: Table, target: str) -> onnx.ModelProto:
    return quantise(prepared, table, target)


def test_only_layers_read_8_bits(int8: onnx.ModelProto, target: str) -> None:
    dequantised = {n.output[0] for n in int8.graph.node if n.op_type == "DequantizeLinear"}
    readers = {n.op_type for n in int8.graph.node for i in n.input if i in dequantised}
    assert {"Conv", "Gemm"} <= readers
    # Add: residuals. Transpose: the levels that RoIs are pooled from, and pixels as rows.
    assert readers <= {
        "Conv",
        "ConvTranspose",
        "Gemm",
        "Add",
        "MaxPool",
        "Resize",
        "Relu",
        "Clip",
        "Transpose",
        "QuantizeLinear",
    }


def test_weights_are_signed_symmetric_by_channel(int8: onnx.ModelProto, prepared: onnx.ModelProto) -> None:
    constants = {t.name: numpy_helper.to_array(t) for t in int8.graph.initializer}
    layer = next(x for x in layers(graph_of(prepared)) if x.block == "fpn")
    node = next(n for n in int8.graph.node if n.name == layer.node)
    dequantise = next(n for n in int8.graph.node if node.input[1] in n.output)
    weight, scale, zero = (constants[i] for i in dequantise.input)
    assert weight.dtype == np.int8
    assert scale.shape == (weight.shape[0],)
    assert not zero.any()
    before = next(numpy_helper.to_array(t) for t in prepared.graph.initializer if t.name == layer.weight)
    assert np.abs(weight * scale.reshape(-1, 1, 1, 1) - before).max() <= 0.51 * scale.max()


def test_two_products_fit_in_16_bits_on_cpus(int8: onnx.ModelProto, target: str) -> None:
    weights = [numpy_helper.to_array(t) for t in int8.graph.initializer if t.data_type == TensorProto.INT8 and t.dims]
    largest = max(int(np.abs(w.astype(int)).max()) for w in weights)
    assert largest == (127 if target == "tensorrt" else 64)
    if target == "cpu":  # as x86 processors without VNNI add them, saturating
        assert 2 * 255 * largest < 2**15


def test_activations_and_biases_are_the_targets(int8: onnx.ModelProto, target: str) -> None:
    constants = {t.name: t for t in int8.graph.initializer}
    zeros = [constants[n.input[2]] for n in int8.graph.node if n.op_type == "QuantizeLinear"]
    assert {z.data_type for z in zeros} == {TensorProto.INT8 if target == "tensorrt" else TensorProto.UINT8}
    assert any(numpy_helper.to_array(z).any() for z in zeros) == (target == "cpu")
    read = [n.input[0] for n in int8.graph.node if n.op_type == "DequantizeLinear"]
    biases = [constants[name] for name in read if name in constants and "bias" in name]
    assert {b.data_type for b in biases} == (set() if target == "tensorrt" else {TensorProto.INT32})


def test_shapes_inputs_and_outputs_stay(int8: onnx.ModelProto, fp32: onnx.ModelProto) -> None:
    check_static(int8)
    onnx.shape_inference.infer_shapes(int8, check_type=True, strict_mode=True)
    assert list(int8.graph.output) == list(fp32.graph.output)
    known = {v.name for v in [*int8.graph.value_info, *int8.graph.output]}
    assert set(INNER) <= known
    assert all(o in known for n in int8.graph.node for o in n.output if o)
    assert all(o.domain in ("", "ai.onnx") for o in int8.opset_import)


def test_detections_stay_near(
    int8: onnx.ModelProto, fp32: onnx.ModelProto, canvases: list[np.ndarray], target: str
) -> None:
    assert 0 < difference(detections(fp32, canvases), detections(int8, canvases)) < 0.15


def test_onnxruntime_fuses_the_cpu_recipe(prepared: onnx.ModelProto, table: Table, tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "o.onnx")
    options.log_severity_level = 4
    model = quantise(prepared, table, "cpu").SerializeToString()
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    kinds = Counter(n.op_type for n in onnx.load(tmp_path / "o.onnx").graph.node)
    assert kinds["QLinearConv"] > 55
    levels = 4
    assert kinds["QGemm"] == 4 + 2 * levels + 1, "heads and predictors; the RPN's scores and deltas; masks"
    assert not [kind for kind in kinds if kind.endswith(("FusedConv", "ConvTranspose")) or kind == "Conv"]


def test_kept_layers_read_no_8_bits(prepared: onnx.ModelProto, table: Table, target: str) -> None:
    made = quantise(prepared, table, target, ("body", "fpn"))
    kept = {x.node for x in layers(graph_of(prepared)) if x.block.startswith(("body", "fpn"))}
    weights = {t.name: t.data_type for t in made.graph.initializer}
    assert all(weights[n.input[1]] == TensorProto.FLOAT for n in made.graph.node if n.name in kept)
    assert sum(n.op_type == "QuantizeLinear" for n in made.graph.node) > 5


def test_nothing_left_or_unknown_target(prepared: onnx.ModelProto, table: Table) -> None:
    with pytest.raises(EdgekitError, match="leaves no layer"):
        quantise(prepared, table, "cpu", ("body", "fpn", "rpn", "box_head", "mask_head", "predictors"))
    with pytest.raises(EdgekitError, match="--target tpu: unknown"):
        quantise(prepared, table, "tpu")

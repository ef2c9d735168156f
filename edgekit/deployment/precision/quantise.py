"""A float32 graph as one with 8-bit layers: explicit Q/DQ, as TensorRT or onnxruntime's CPU kernels take them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.artifacts.graph_shapes import dims_of
from edgekit.deployment.edits.enlarging import copy_rows
from edgekit.deployment.edits.for_cpu import rewrite_for_8_bits
from edgekit.deployment.edits.graph_search import constants_of, feature_nodes, layers, matching
from edgekit.deployment.edits.products import ends
from edgekit.deployment.precision.calibration import Table
from edgekit.errors import EdgekitError

if TYPE_CHECKING:
    import onnx

TARGETS = ("tensorrt", "cpu")
# By target: the layers computed in 8 bits, and what between them is too. TensorRT fuses by itself what lies between;
# onnxruntime's CPU has no 8-bit transposed convolution and no product of an 8-bit layer that stays float but Gemm's,
# so what can be one is made one (``products``).
LAYERS = {"tensorrt": ("Conv", "ConvTranspose", "Gemm", "MatMul"), "cpu": ("Conv", "Gemm", "MatMul")}
BETWEEN = {"tensorrt": (), "cpu": ("Relu", "Clip", "Add", "MaxPool", "Resize")}
# x86 processors without VNNI add two products of 8 bits in 16, and 2 x 255 x 127 overflows there: detections are lost
# (docs/log.md). onnxruntime's own option against it (session.x64quantprecision) fails to load these graphs.
WEIGHT_BITS = {"tensorrt": 8, "cpu": 7}
FLOAT_OUTPUT = {"tensorrt": (*LAYERS["tensorrt"],), "cpu": ("Gemm", "MatMul")}


def prepare(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph that is calibrated and quantised: each layer with a bias of its own."""
    prepared = deepcopy(model)
    constants = constants_of(prepared.graph)
    seen: set[str] = set()
    for node in prepared.graph.node:
        if node.op_type not in LAYERS["tensorrt"] or len(node.input) < 3 or node.input[2] not in constants:
            continue
        if node.input[2] in seen:  # a bias in 32 bits has the scale of its layer's input
            own = prepared.graph.initializer.add()
            own.CopyFrom(constants[node.input[2]])
            own.name = node.input[2] = f"{node.input[2]}.of.{node.name}"
        seen.add(node.input[2])
    return prepared


def calibrated_values(prepared: onnx.ModelProto) -> tuple[str, ...]:
    """The values whose ranges either target's recipe asks for."""
    names = {x.node for x in layers(prepared.graph)}
    between = feature_nodes(prepared.graph)
    constants = {t.name for t in prepared.graph.initializer}
    found: dict[str, None] = {}
    for node in prepared.graph.node:
        if node.name in names:
            found |= dict.fromkeys((node.input[0], node.output[0]))
        elif node.name in between and node.op_type in BETWEEN["cpu"]:
            data = node.input[:1] if node.op_type in ("Clip", "Resize") else node.input
            found |= dict.fromkeys([i for i in data if i and i not in constants] + list(node.output))
    return tuple(found)


def quantise(
    prepared: onnx.ModelProto, table: Table, target: str = "tensorrt", keep: Sequence[str] = ()
) -> onnx.ModelProto:
    """A copy of a graph from ``prepare`` with Q/DQ around its layers, but for those that ``keep`` names.

    ``target`` "tensorrt": signed activations symmetric about zero, float biases, only inputs quantised; "cpu": unsigned
    activations, biases in 32 bits, outputs quantised too, so that onnxruntime fuses them to its 8-bit kernels, and
    scores, deltas and mask logits as products with float results. Weights are signed, symmetric, one scale a channel;
    "cpu" gives them 7 bits (see ``WEIGHT_BITS``). What decides boxes and scores without being a layer stays float32.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    if target not in TARGETS:
        raise EdgekitError(f"--target {target}: unknown", f"give one of: {', '.join(TARGETS)}")
    kept = matching(prepared.graph, keep)
    copy = type(prepared)()
    copy.CopyFrom(prepared)
    ranges = {n: (np.float32(r.min), np.float32(r.max)) for n, r in table.tensors.items()}
    if target == "cpu":
        same = rewrite_for_8_bits(copy.graph, kept)
        ranges |= {made: ranges[value] for made, value in same.items() if value in ranges}
    chosen = _chosen(copy.graph, target, kept)
    if not chosen:
        raise EdgekitError("--keep: leaves no layer to quantise", "keep fewer, or use --precision fp16")
    symmetric = target == "tensorrt"
    options: dict[str, Any] = {
        "ActivationSymmetric": symmetric,
        "WeightSymmetric": True,
        "QuantizeBias": not symmetric,
        "OpTypesToExcludeOutputQuantization": list(FLOAT_OUTPUT[target]),
    }
    kinds = sorted({*LAYERS[target], *BETWEEN[target]})
    logging.disable(logging.WARNING)  # it warns of opset 18, which has all that is used here
    try:
        quantizer = QDQQuantizer(
            copy,
            True,
            WEIGHT_BITS[target] < 8,
            QuantType.QInt8,
            QuantType.QInt8 if symmetric else QuantType.QUInt8,
            TensorsData(CalibrationMethod.MinMax, ranges),
            sorted(chosen),
            [],
            kinds,
            options,
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    finally:
        logging.disable(logging.NOTSET)
    quantised = _with_shapes(quantizer.model.model)
    if target == "cpu":
        copy_rows(quantised.graph)
    return quantised


def _chosen(graph: onnx.GraphProto, target: str, kept: frozenset[str]) -> frozenset[str]:
    """The nodes to quantise: layers of the target's kinds, and what lies between two of them."""
    between = feature_nodes(graph)
    chosen = {x.node for x in layers(graph) if x.kind in LAYERS[target]} - kept
    if target == "cpu":
        chosen -= ends(graph, kept)  # 256 levels would be too few for them
    produced = {o for n in graph.node if n.name in chosen for o in n.output}
    for node in graph.node:
        if node.name in between and node.op_type in BETWEEN[target] and any(i in produced for i in node.input):
            chosen.add(node.name)
            produced.update(node.output)
    return frozenset(chosen)


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Complete the shapes of the values that quantisation added, from the values they stand for."""
    from onnx import TensorProto

    graph = model.graph
    infos = {v.name: v for v in [*graph.input, *graph.value_info, *graph.output]}
    constants = constants_of(graph)
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or node.output[0] in infos:
            continue
        info = graph.value_info.add()
        info.name = node.output[0]
        kind = TensorProto.FLOAT if node.op_type == "DequantizeLinear" else constants[node.input[2]].data_type
        info.type.tensor_type.elem_type = kind
        source = node.input[0]
        dims = dims_of(infos[source]) if source in infos else list(constants[source].dims)
        info.type.tensor_type.shape.SetInParent()
        for size in dims:
            info.type.tensor_type.shape.dim.add().dim_value = size
        infos[info.name] = info
    return model

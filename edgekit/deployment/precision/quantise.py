"""Turns a float32 graph to one with 8-bit layers: explicit Q/DQ, as TensorRT or onnxruntime's CPU kernels take them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
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

Ranges = dict[str, tuple[np.float32, np.float32]]  # of a value: its smallest and largest


@dataclass(frozen=True)
class Recipe:
    """What a target's runtime computes in 8 bits, and how it wants that written."""

    layers: tuple[str, ...]  # the kinds of layers
    between: tuple[str, ...]  # what lies between two layers
    float_outputs: tuple[str, ...]  # kinds whose results are not quantised
    activations: str  # "QInt8", symmetric about zero, or "QUInt8"
    biases: str  # "float", or "32 bits"
    weight_bits: int


# TensorRT fuses by itself what lies between layers.
TENSORRT = Recipe(
    layers=("Conv", "ConvTranspose", "Gemm", "MatMul"),
    between=(),
    float_outputs=("Conv", "ConvTranspose", "Gemm", "MatMul"),
    activations="QInt8",
    biases="float",
    weight_bits=8,
)
# onnxruntime's CPU has no 8-bit transposed convolution and no product of an 8-bit layer that stays float but Gemm's, so
# what can be one is made one (``products``). x86 processors without VNNI add two products of 8 bits in 16, and
# 2 x 255 x 127 overflows there: detections are lost (docs/log.md). onnxruntime's own option against it
# (session.x64quantprecision) fails to load these graphs.
CPU = Recipe(
    layers=("Conv", "Gemm", "MatMul"),
    between=("Relu", "Clip", "Add", "MaxPool", "Resize"),
    float_outputs=("Gemm", "MatMul"),
    activations="QUInt8",
    biases="32 bits",
    weight_bits=7,
)
TARGETS = ("tensorrt", "cpu")


def prepare(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph that is calibrated and quantised: each layer with a bias of its own."""
    prepared = deepcopy(model)
    constants = constants_of(prepared.graph)
    seen: set[str] = set()
    for node in prepared.graph.node:
        if node.op_type not in TENSORRT.layers or len(node.input) < 3 or node.input[2] not in constants:
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
        elif node.name in between and node.op_type in CPU.between:
            data = node.input[:1] if node.op_type in ("Clip", "Resize") else node.input
            found |= dict.fromkeys([i for i in data if i and i not in constants] + list(node.output))
    return tuple(found)


def quantise(
    prepared: onnx.ModelProto, table: Table, target: str = "tensorrt", keep: Sequence[str] = ()
) -> onnx.ModelProto:
    """A copy of a graph from ``prepare`` with Q/DQ around its layers, but for those that ``keep`` names.

    ``target`` is "tensorrt" or "cpu" (see ``TENSORRT`` and ``CPU``). Weights are signed, symmetric, one scale per
    channel. What decides boxes and scores without being a layer stays float32. Raises EdgekitError for an unknown
    target, and where ``keep`` leaves nothing to quantise.
    """
    if target not in TARGETS:
        raise EdgekitError(f"--target {target}: unknown", f"give one of: {', '.join(TARGETS)}")
    kept = matching(prepared.graph, keep)
    copy = type(prepared)()
    copy.CopyFrom(prepared)
    ranges = {n: (np.float32(r.min), np.float32(r.max)) for n, r in table.tensors.items()}
    return _for_cpu(copy, ranges, kept) if target == "cpu" else _for_tensorrt(copy, ranges, kept)


def _for_tensorrt(model: onnx.ModelProto, ranges: Ranges, kept: frozenset[str]) -> onnx.ModelProto:
    """Only the inputs of layers are quantised."""
    return _with_qdq(model, ranges, _chosen(model.graph, TENSORRT, kept), TENSORRT)


def _for_cpu(model: onnx.ModelProto, ranges: Ranges, kept: frozenset[str]) -> onnx.ModelProto:
    """Outputs of layers are quantised too, so that onnxruntime fuses them to its 8-bit kernels; scores, deltas and mask
    logits, for which 256 levels would be too few, are products with float results."""
    same = rewrite_for_8_bits(model.graph, kept)
    held = ranges | {made: ranges[value] for made, value in same.items() if value in ranges}
    quantised = _with_qdq(model, held, _chosen(model.graph, CPU, kept | ends(model.graph, kept)), CPU)
    copy_rows(quantised.graph)
    return quantised


def _with_qdq(model: onnx.ModelProto, ranges: Ranges, chosen: frozenset[str], recipe: Recipe) -> onnx.ModelProto:
    """The model, changed in place, with Q/DQ around the ``chosen`` nodes."""
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    if not chosen:
        raise EdgekitError("--keep: leaves no layer to quantise", "keep fewer, or use --precision fp16")
    options: dict[str, Any] = {
        "ActivationSymmetric": recipe.activations == "QInt8",
        "WeightSymmetric": True,
        "QuantizeBias": recipe.biases == "32 bits",
        "OpTypesToExcludeOutputQuantization": list(recipe.float_outputs),
    }
    logging.disable(logging.WARNING)  # it warns of opset 18, which has all that is used here
    try:
        quantizer = QDQQuantizer(
            model,
            True,
            recipe.weight_bits < 8,
            QuantType.QInt8,
            QuantType[recipe.activations],
            TensorsData(CalibrationMethod.MinMax, ranges),
            sorted(chosen),
            [],
            sorted({*recipe.layers, *recipe.between}),
            options,
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    finally:
        logging.disable(logging.NOTSET)
    return _with_shapes(quantizer.model.model)


def _chosen(graph: onnx.GraphProto, recipe: Recipe, kept: frozenset[str]) -> frozenset[str]:
    """The nodes to quantise: layers of the recipe's kinds, and what lies between two of them."""
    between = feature_nodes(graph)
    chosen = {x.node for x in layers(graph) if x.kind in recipe.layers} - kept
    produced = {o for n in graph.node if n.name in chosen for o in n.output}
    for node in graph.node:
        if node.name in between and node.op_type in recipe.between and any(i in produced for i in node.input):
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

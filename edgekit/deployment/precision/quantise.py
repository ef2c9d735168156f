"""Turns a float32 graph to one with 8-bit layers: explicit Q/DQ, as TensorRT or onnxruntime's CPU kernels take them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from edgekit.deployment.edits.enlarging import copy_rows
from edgekit.deployment.edits.for_cpu import rewrite_for_8_bits
from edgekit.deployment.edits.layers import feature_nodes, layers, matching
from edgekit.deployment.edits.products import ends
from edgekit.deployment.precision.calibration import Table
from edgekit.deployment.quiet import quiet
from edgekit.errors import EdgekitError
from edgekit.graphs.editing import constant, editing, graph_of, is_weight

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


def with_own_biases(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph that is calibrated and quantised: each layer with a bias of its own.

    A bias in 32 bits has the scale of its layer's input.
    """
    prepared = deepcopy(model)
    seen: set[ir.Value] = set()
    with editing(prepared) as graph:
        for node in graph:
            if node.op_type not in TENSORRT.layers or len(node.inputs) < 3 or not is_weight(node.inputs[2]):
                continue
            bias = node.inputs[2]
            if bias in seen:
                own = constant(graph, f"{bias.name}.of.{node.name}", bias.const_value.numpy())
                node.replace_input_with(2, own)
            seen.add(bias)
    return prepared


def calibrated_values(prepared: onnx.ModelProto) -> tuple[str, ...]:
    """The values whose ranges either target's recipe asks for."""
    graph = graph_of(prepared)
    names, between = {x.node for x in layers(graph)}, feature_nodes(graph)
    found: dict[str, None] = {}
    for node in graph:
        if node.name in names:
            found |= dict.fromkeys((node.inputs[0].name, node.outputs[0].name))
        elif node.name in between and node.op_type in CPU.between:
            data = node.inputs[:1] if node.op_type in ("Clip", "Resize") else node.inputs
            read = [v.name for v in data if v is not None and not is_weight(v)]
            found |= dict.fromkeys([*read, *(v.name for v in node.outputs)])
    return tuple(found)


def quantise(
    prepared: onnx.ModelProto, table: Table, target: str = "tensorrt", keep: Sequence[str] = ()
) -> onnx.ModelProto:
    """A copy of a graph from ``with_own_biases`` with Q/DQ around its layers, but for those that ``keep`` names.

    ``target`` is "tensorrt" or "cpu" (see ``TENSORRT`` and ``CPU``). Weights are signed, symmetric, one scale per
    channel. What decides boxes and scores without being a layer stays float32. Raises EdgekitError for an unknown
    target, and where ``keep`` leaves nothing to quantise.
    """
    if target not in TARGETS:
        raise EdgekitError(f"--target {target}: unknown", f"give one of: {', '.join(TARGETS)}")
    kept = matching(graph_of(prepared), keep)
    copy = deepcopy(prepared)
    ranges = {n: (np.float32(r.min), np.float32(r.max)) for n, r in table.tensors.items()}
    return _for_cpu(copy, ranges, kept) if target == "cpu" else _with_qdq(copy, ranges, TENSORRT, kept)


def _for_cpu(model: onnx.ModelProto, ranges: Ranges, kept: frozenset[str]) -> onnx.ModelProto:
    """Outputs of layers are quantised too, so that onnxruntime fuses them to its 8-bit kernels; scores, deltas and mask
    logits, for which 256 levels would be too few, are products with float results."""
    same = rewrite_for_8_bits(model, kept)
    held = ranges | {made: ranges[value] for made, value in same.items() if value in ranges}
    quantised = _with_qdq(model, held, CPU, kept | ends(graph_of(model), kept))
    with editing(quantised) as graph:
        copy_rows(graph)
    return quantised


def _with_qdq(model: onnx.ModelProto, ranges: Ranges, recipe: Recipe, kept: frozenset[str]) -> onnx.ModelProto:
    """The model, changed in place, with Q/DQ around what the recipe quantises, without ``kept``."""
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    chosen = _chosen(graph_of(model), recipe, kept)
    if not chosen:
        raise EdgekitError("--keep: leaves no layer to quantise", "keep fewer, or use --precision fp16")
    options: dict[str, Any] = {
        "ActivationSymmetric": recipe.activations == "QInt8",
        "WeightSymmetric": True,
        "QuantizeBias": recipe.biases == "32 bits",
        "OpTypesToExcludeOutputQuantization": list(recipe.float_outputs),
    }
    with quiet():  # it warns of opset 18, which has all that is used here
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
    return onnx.shape_inference.infer_shapes(quantizer.model.model, strict_mode=True, data_prop=True)


def _chosen(graph: ir.Graph, recipe: Recipe, kept: frozenset[str]) -> frozenset[str]:
    """The nodes to quantise: layers of the recipe's kinds, and what lies between two of them."""
    between = feature_nodes(graph)
    chosen = {x.node for x in layers(graph) if x.kind in recipe.layers} - kept
    produced = {v for n in graph if n.name in chosen for v in n.outputs}
    for node in graph:
        if node.name in between and node.op_type in recipe.between and produced.intersection(node.inputs):
            chosen.add(node.name)
            produced.update(node.outputs)
    return frozenset(chosen)

"""A PyTorch module as an ONNX graph that every runtime takes: static shapes, no plugins, checked."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import onnx_ir as ir
import torch
from torch import nn

from edgekit.deployment.quiet import quiet
from edgekit.graphs.editing import constant, is_weight
from edgekit.graphs.static_check import check_static

OPSET = 18


def static_onnx(
    module: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    input_names: Sequence[str],
    output_names: Sequence[str],
    inner: Sequence[str] = (),
) -> onnx.ModelProto:
    """The graph of a module for inputs of these shapes; raises RuntimeError if it holds what TensorRT cannot run.

    The module's last outputs become values named ``inner``, which are no outputs. Weights have the parameters' names.
    """
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            inputs,
            input_names=list(input_names),
            output_names=[*output_names, *inner],
            opset_version=OPSET,
            dynamo=True,
        )
    assert program is not None
    name_weights(program.model.graph, module)
    program.model.graph.outputs[len(output_names) :] = []
    graph = program.model_proto
    check_static(graph)
    return graph


def name_weights(graph: ir.Graph, module: nn.Module) -> None:
    """Name the weights in a module's graph so that they can be found again.

    A parameter that ``module`` has under several names gets the first of them. Every layer has a bias of its own,
    called after its weight: the exporter lets equal ones share.
    """
    first: dict[int, str] = {}
    named = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    names = {name: first.setdefault(id(tensor), name) for name, tensor in named}
    for value in list(graph.initializers.values()):
        name = names.get(value.name, value.name)
        if name != value.name and name in graph.initializers:
            value.replace_all_uses_with(graph.initializers[name])
        else:
            value.name = name
    for node in graph:
        if node.op_type in ("Conv", "ConvTranspose", "Gemm") and len(node.inputs) == 3:
            weight, bias = node.inputs[1:]
            if is_weight(bias) and weight.name.endswith(".weight"):
                own = constant(graph, f"{weight.name.removesuffix('.weight')}.bias", bias.const_value.numpy())
                node.replace_input_with(2, own)
    for value in [v for v in graph.initializers.values() if not v.uses()]:
        del graph.initializers[value.name]

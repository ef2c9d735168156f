"""A PyTorch module as an ONNX graph that every runtime takes: static shapes, no plugins, checked."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from edgekit.deployment.edits.static_check import check_static

if TYPE_CHECKING:
    import onnx

OPSET = 18


def static_onnx(
    module: nn.Module, inputs: tuple[torch.Tensor, ...], input_names: Sequence[str], output_names: Sequence[str]
) -> onnx.ModelProto:
    """The graph of a module for inputs of these shapes; raises RuntimeError if it holds what TensorRT cannot run."""
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            inputs,
            input_names=list(input_names),
            output_names=list(output_names),
            opset_version=OPSET,
            dynamo=True,
        )
    assert program is not None
    graph = program.model_proto
    check_static(graph)
    return graph


def name_parameters(graph: onnx.ModelProto, module: nn.Module) -> None:
    """Name the weights in a module's graph so that they can be found again.

    A parameter that ``module`` has under several names gets the first of them. Every layer has a bias of its own,
    called after its weight: the exporter lets equal ones share.
    """
    first: dict[int, str] = {}
    named = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    names = {name: first.setdefault(id(tensor), name) for name, tensor in named}
    for tensor in graph.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for value in graph.graph.value_info:
        value.name = names.get(value.name, value.name)
    held = {t.name: t for t in graph.graph.initializer}
    for node in graph.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        if node.op_type in ("Conv", "ConvTranspose", "Gemm") and len(node.input) == 3:
            weight, bias = node.input[1:]
            own = f"{weight.removesuffix('.weight')}.bias"
            if weight.endswith(".weight") and bias in held and bias != own and own not in held:
                copy = graph.graph.initializer.add()
                copy.CopyFrom(held[bias])
                copy.name, held[own] = own, copy
            if weight.endswith(".weight") and own in held:
                node.input[2] = own
    used = {name for node in graph.graph.node for name in node.input}
    for tensor in [t for t in graph.graph.initializer if t.name not in used]:
        graph.graph.initializer.remove(tensor)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress lines and warnings off the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)

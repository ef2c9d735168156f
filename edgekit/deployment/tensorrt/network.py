"""An ONNX graph as a strongly typed TensorRT network, or the node that the parser does not take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError
from edgekit.runtime.engine_file import Tensor
from edgekit.runtime.engine_session import dtype_name
from edgekit.runtime.flavours import TensorRT

SHOWN = 3  # parser errors in a message


def network_flags(trt: Any) -> int:
    """The flags of a network that keeps the types its ONNX has.

    From TensorRT 11 on, and in TensorRT-RTX, every network does; some of these still have the flag.
    """
    kinds = trt.NetworkDefinitionCreationFlag
    return 1 << int(kinds.STRONGLY_TYPED) if hasattr(kinds, "STRONGLY_TYPED") else 0


def parse(tensorrt: TensorRT, builder: Any, graph: bytes, source: Path) -> tuple[Any, Any]:
    """The network of a serialised graph, and the parser, which owns the weights until the engine is built.

    ``source`` is the file to name in an error.
    """
    trt = tensorrt.module
    network = builder.create_network(network_flags(trt))
    with tensorrt.messages() as messages:
        parser = trt.OnnxParser(network, tensorrt.logger)
        parsed = parser.parse(graph)
    if not parsed or parser.num_errors:
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        shown = "; ".join(describe(e) for e in errors[:SHOWN]) or messages.reason()
        more = f"; and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
        raise EdgekitError(
            f"{source}: {tensorrt.title} cannot take it: {shown}{more}",
            "export it again with this edgekit, which writes only what TensorRT has",
        )
    return network, parser


def describe(error: Any) -> str:
    """A parser's error: the node's name and kind, and what the parser says."""
    said = " ".join(error.desc().split()).removeprefix("Assertion failed: ")
    code = getattr(error.code(), "name", str(error.code())).lower().replace("_", " ")
    text = code if said in ("", "false") else f"{said} ({code})"  # the parser's source may say no more than "false"
    name = error.node_name() if hasattr(error, "node_name") else ""
    kind = error.node_operator() if hasattr(error, "node_operator") else ""
    if not name and not kind:
        return text if error.node() < 0 else f"node {error.node()}: {text}"
    return f"node {name or error.node()} ({kind or 'of unknown kind'}): {text}"


def network_tensors(trt: Any, network: Any) -> tuple[Tensor, ...]:
    """A network's inputs and outputs."""
    inputs = [(network.get_input(i), True) for i in range(network.num_inputs)]
    outputs = [(network.get_output(i), False) for i in range(network.num_outputs)]
    return tuple(
        Tensor(t.name, is_input, tuple(int(n) for n in t.shape), dtype_name(trt, t.dtype))
        for t, is_input in [*inputs, *outputs]
    )

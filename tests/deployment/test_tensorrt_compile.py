"""TensorRT-RTX compiles the exported graph ahead of time, on a machine without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest


def test_tensorrt_rtx_compiles_the_graph(adapted_onnx: Path) -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="needs edgekit[rtx]")
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(adapted_onnx.read_bytes()), [parser.get_error(i).desc() for i in range(parser.num_errors)]
    outputs = {network.get_output(i).name: tuple(network.get_output(i).shape) for i in range(network.num_outputs)}
    assert set(outputs) == {"boxes", "labels", "scores", "masks"}
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    engine = builder.build_serialized_network(network, config)
    assert engine is not None
    assert engine.nbytes > 1e6

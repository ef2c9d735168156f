"""TensorRT-RTX compiles the exported graph ahead of time in every precision, on a machine without a GPU."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from edgekit.artifacts import read_onnx
from edgekit.data.images import SAMPLE_PHOTOS
from edgekit.deployment.precision.conversion import convert


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_tensorrt_rtx_compiles_the_graph(adapted_onnx: Path, precision: str) -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="needs edgekit[rtx]")
    graph, meta = read_onnx(adapted_onnx)
    options = {"calibration": SAMPLE_PHOTOS, "calibrator": "minmax"} if precision == "int8" else {}
    model = convert(graph, precision, input_size=meta.input_size, target="tensorrt", **options).model
    engine = compiled(trt, model)
    assert engine is not None
    assert engine.nbytes > 1e6


def compiled(trt, model: onnx.ModelProto):
    """A graph compiled for SM 8.6; its outputs are float32 in any precision."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(model.SerializeToString()), [parser.get_error(i).desc() for i in range(parser.num_errors)]
    outputs = {network.get_output(i).name: network.get_output(i).dtype for i in range(network.num_outputs)}
    assert set(outputs) == {"boxes", "labels", "scores", "masks"}
    assert all(outputs[n] == trt.DataType.FLOAT for n in ("boxes", "scores", "masks"))
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    return builder.build_serialized_network(network, config)

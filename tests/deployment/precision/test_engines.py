"""The embedded model in low precision, compiled ahead of time: types in the graph are all that a builder is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import write_onnx
from edgekit.deployment.precision.calibration import Table
from edgekit.deployment.precision.half import to_fp16
from edgekit.deployment.precision.quantise import quantise
from edgekit.deployment.tensorrt.build import build
from edgekit.deployment.tensorrt.build_options import EngineOptions

pytest.importorskip("tensorrt_rtx", reason="needs edgekit[rtx]")
OUTPUTS = {"boxes": "float32", "labels": "int64", "scores": "float32", "masks": "float32"}


def compiled(model: onnx.ModelProto, meta: ModelMeta, precision: str, capability: str, folder: Path) -> None:
    write_onnx(folder / "x.onnx", model, replace(meta, precision=precision))
    engine = build(folder / "x.onnx", folder / "x.engine", EngineOptions(compute_capability=(capability,)))
    assert (engine.meta.precision, engine.compute_capabilities) == (precision, (capability,))
    assert {t.name: t.dtype for t in engine.tensors if not t.is_input} == OUTPUTS
    assert engine.megabytes > 1


def test_int8(prepared: onnx.ModelProto, table: Table, meta: ModelMeta, tmp_path: Path) -> None:
    compiled(quantise(prepared, table, "tensorrt"), meta, "int8", "8.6", tmp_path)


def test_fp16_for_a_gpu_without_float32_products(fp32: onnx.ModelProto, meta: ModelMeta, tmp_path: Path) -> None:
    compiled(to_fp16(fp32, ()), meta, "fp16", "7.5", tmp_path)

"""A sample of the compile matrix, made by the script that makes the whole (benchmarks/results/compile_matrix.json)."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.run import compile_matrix

pytest.importorskip("tensorrt_rtx", reason="needs edgekit[rtx]")
SAMPLE = [
    ("demo", "fp16", "7.5"),
    ("demo", "int8", "12.0"),
    ("fasterrcnn_mobilenet_v3_large_fpn", "int8", "8.6"),
]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("matrix")


@pytest.mark.slow
@pytest.mark.parametrize(("model", "precision", "capability"), SAMPLE)
def test_a_cell(model: str, precision: str, capability: str, graphs: Path) -> None:
    assert (model, precision, capability) in compile_matrix.cells()
    row = compile_matrix.one(model, precision, capability, graphs)
    assert "error" not in row, row["error"]
    assert row["layers"] > 500
    assert row["engine_mb"] > 10

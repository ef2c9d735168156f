"""A sample of the compile matrix, made by the script that makes the whole (benchmarks/results/compile_matrix.json)."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

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
def test_a_cell(model: str, precision: str, capability: str, graphs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    matrix = importlib.import_module("compile_matrix")  # by its name, which its processes import too
    assert (model, precision, capability) in matrix.cells()
    row = matrix.one(model, precision, capability, graphs)
    assert "error" not in row, row["error"]
    assert row["layers"] > 500
    assert row["engine_mb"] > 10

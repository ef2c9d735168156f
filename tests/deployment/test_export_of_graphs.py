"""Exporting from a graph that was exported before: another precision, without the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.onnx_files import read_onnx
from edgekit.deployment.export.export import export
from edgekit.deployment.precision.conversion import Conversion
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256


def test_another_precision_is_compared_with_the_graph_itself(adapted_onnx: Path, tmp_path: Path) -> None:
    result = export(adapted_onnx, tmp_path / "half.onnx", conversion=Conversion("fp16"))
    assert result.precision == "fp16"
    assert result.verification is not None
    assert result.verification.parity.compared > 0
    _, meta = read_onnx(tmp_path / "half.onnx")
    before = read_onnx(adapted_onnx)[1]
    assert meta.parent_sha256 == sha256(adapted_onnx)
    assert (meta.generations, meta.precision) == (before.generations, "fp16")
    again = export(tmp_path / "half.onnx", tmp_path / "again.onnx")  # as it is
    assert again.node_kinds == result.node_kinds
    with pytest.raises(EdgekitError, match="is fp16 already, int8 was asked for"):
        export(tmp_path / "half.onnx", tmp_path / "int8.onnx", conversion=Conversion("int8"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": GraphShape((256, 256))}, "--size cannot change it"),
        ({"shape": GraphShape(overlaps="keep")}, "--overlaps cannot change it"),
    ],
)
def test_what_needs_the_checkpoint_is_said(
    adapted_onnx: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(EdgekitError, match=message):
        export(adapted_onnx, tmp_path / "a.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_a_graph_is_not_replaced_by_another_precision_of_it(adapted_onnx: Path) -> None:
    before = sha256(adapted_onnx)
    with pytest.raises(EdgekitError, match=r"is the input .*give another name"):
        export(adapted_onnx, adapted_onnx, conversion=Conversion("fp16"))
    assert sha256(adapted_onnx) == before

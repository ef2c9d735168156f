"""What inspect says of a model with a proof beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.cli import main
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from edgekit.report.inspect import inspect
from tests.tiny_detector import write_tiny_detector


def proven(path: Path, **more: object) -> Path:
    proof = {"model": path.name, "model_sha256": sha256(path), "retention": {"changed": 0, "compared": 7}} | more
    file = path.with_suffix(".retention.json")
    file.write_text(json.dumps(proof))
    return file


def test_a_proof_counts_for_its_model_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_tiny_detector(tmp_path / "x.onnx")
    assert "old detections" not in inspect(model).details
    proven(model)
    assert inspect(model).details["old detections"] == "0 of 7 changed (x.retention.json)"
    write_tiny_detector(model, masks=False)
    with pytest.raises(EdgekitError, match=r"x.retention.json: proves another model than .*x.onnx") as raised:
        inspect(model)
    assert "run edgekit adapt again" in raised.value.hint
    assert main(["inspect", str(model)]) == 1
    assert "proves another model" in capsys.readouterr().err


def test_the_proof_of_another_kind_of_file_is_not_its_own(tmp_path: Path) -> None:
    model = write_tiny_detector(tmp_path / "x.onnx")
    proven(model, model="x.safetensors", model_sha256="0" * 64)  # of the checkpoint that it was exported from
    assert "old detections" not in inspect(model).details


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model_sha256": "0", "model": 3}', '{"retention": 3}'])
def test_damaged_proofs(text: str, tmp_path: Path) -> None:
    model = write_tiny_detector(tmp_path / "x.onnx")
    model.with_suffix(".retention.json").write_text(text)
    with pytest.raises(EdgekitError, match=r"x.retention.json: is damaged"):
        inspect(model)

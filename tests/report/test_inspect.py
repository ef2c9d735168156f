"""What inspect says of models with a proof beside them, of packs and of folders."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.artifacts.manifest import read_manifest
from edgekit.artifacts.pack_files import write_pack
from edgekit.cli import main
from edgekit.deployment.folder.installing import install
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from edgekit.report.inspect import Inspection, inspect
from edgekit.report.inspect_parts import PackInspection
from tests.damage import flip_a_bit
from tests.packs import random_pack, write_packs
from tests.tiny_detector import write_tiny_detector


def proven(path: Path, **more: object) -> Path:
    proof = {"model": path.name, "model_sha256": sha256(path), "retention": {"changed": 0, "compared": 7}} | more
    file = path.with_suffix(".retention.json")
    file.write_text(json.dumps(proof))
    return file


def details(model: Path) -> dict[str, object]:
    result = inspect(model)
    assert isinstance(result, Inspection)
    return result.details


def test_a_proof_counts_for_its_model_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_tiny_detector(tmp_path / "x.onnx")
    assert "old detections" not in details(model)
    proven(model)
    assert details(model)["old detections"] == "0 of 7 changed (x.retention.json)"
    write_tiny_detector(model, masks=False)
    with pytest.raises(EdgekitError, match=r"x.retention.json: proves another model than .*x.onnx") as raised:
        inspect(model)
    assert "run edgekit adapt again" in raised.value.hint
    assert main(["inspect", str(model)]) == 1
    assert "proves another model" in capsys.readouterr().err


def test_the_proof_of_another_kind_of_file_is_not_its_own(tmp_path: Path) -> None:
    model = write_tiny_detector(tmp_path / "x.onnx")
    proven(model, model="x.safetensors", model_sha256="0" * 64)  # of the checkpoint that it was exported from
    assert "old detections" not in details(model)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model_sha256": "0", "model": 3}', '{"retention": 3}'])
def test_damaged_proofs(text: str, tmp_path: Path) -> None:
    model = write_tiny_detector(tmp_path / "x.onnx")
    model.with_suffix(".retention.json").write_text(text)
    with pytest.raises(EdgekitError, match=r"x.retention.json: is damaged"):
        inspect(model)


def proven_pack(path: Path, **more: object) -> PackInspection:
    pack = random_pack(path.stem)
    proof = {"model_sha256": pack.sha256, "retention": {"changed": 0, "compared": 7, "images": 3}} | more
    write_pack(path, replace(pack, proof=proof, training={"epochs": 4}))
    result = inspect(path)
    assert isinstance(result, PackInspection)
    return result


def test_a_pack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "farm.pack"
    result, pack = proven_pack(path), random_pack("farm")
    assert (result.kind, result.classes, result.base) == ("pack", pack.classes, pack.base)
    assert (result.sha256, result.precision, result.parents) == (pack.sha256, "fp32", ())
    assert result.old_detections == "0 of 7 changed on 3 photos"
    assert result.megabytes == round(path.stat().st_size / 1e6, 3)
    assert main(["inspect", str(path)]) == 0
    said = capsys.readouterr().out
    assert all(text in said for text in ("farm 0, farm 1", pack.base[:20], "0 of 7 changed", "fp32 features", "epochs"))


def test_packs_with_parents_and_without_a_proof(tmp_path: Path) -> None:
    first = random_pack("first")
    (path,) = write_packs(tmp_path, random_pack("second", parents=[first]))
    result = inspect(path)
    assert isinstance(result, PackInspection)
    assert [(p.name, p.sha256) for p in result.parents] == [("first", first.sha256)]
    assert result.old_detections is None


@pytest.mark.parametrize(
    ("change", "said"),
    [({"model_sha256": "0" * 64}, "holds the proof of another pack"), ({"retention": 3}, "its proof is damaged")],
)
def test_a_pack_with_the_proof_of_another_or_a_damaged_one(
    change: dict[str, object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(EdgekitError, match=rf"x.pack: {said}"):
        proven_pack(tmp_path / "x.pack", **change)


def test_a_models_folder(base_parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(base_parts, tmp_path / "model"))
    base = inspect(folder)
    first = random_pack("first")
    install(write_packs(tmp_path, first, random_pack("second", 1, parents=[first])), folder)
    result = inspect(folder)
    assert isinstance(base, Inspection)
    assert isinstance(result, Inspection)
    assert (result.kind, result.sha256, result.parameters) == ("parts", base.sha256, None)
    assert result.meta.new_classes == ("first 0", "first 1", "second 0")
    assert result.details["base model"] == base.details["base model"]
    about = result.details["pack second"]
    assert (about["classes"], about["on top of"], about["trained on"]) == (["second 0"], ["first"], "fp32 features")
    assert result.megabytes == pytest.approx(base.megabytes + 2 * about["megabytes"], rel=0.2)
    assert main(["inspect", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["details"]["pack first"]["sha256"] == first.sha256
    assert main(["inspect", str(folder)]) == 0
    assert "pack second" in capsys.readouterr().out
    graph = folder / read_manifest(folder).find("second", folder).detect
    flip_a_bit(graph)
    assert main(["inspect", str(folder)]) == 1
    assert f"{graph.name}: is not the file that manifest.json names" in capsys.readouterr().err

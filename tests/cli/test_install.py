"""Packs on the command line: install and remove, and --pack of the other commands, as a user meets them."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifacts.manifest import LOCK
from edgekit.artifacts.onnx_files import open_onnx
from edgekit.cli import main
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.images import SAMPLE_PHOTOS
from tests.packs import random_pack, write_packs

FARM = random_pack("farm")
POND = random_pack("pond", 1, parents=[FARM])  # trained on top of farm
PHOTO = SAMPLE_PHOTOS / "0.jpg"


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with farm.pack and pond.pack."""
    monkeypatch.chdir(tmp_path)
    write_packs(tmp_path, FARM, POND)
    return tmp_path


@pytest.fixture
def model(packs: Path, base_parts: Path) -> Path:
    """A folder model/ beside the packs, none of them installed."""
    return Path(shutil.copytree(base_parts, packs / "model"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command prints, whose table columns are parted by one blank."""
    capsys.readouterr()
    assert main(arguments) == 0
    return re.sub(r"[ │]+", " ", capsys.readouterr().out)


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The one JSON document that a command prints."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The line that a command fails with; it prints nothing else, and nothing in the working directory changes."""
    capsys.readouterr()
    before = contents()
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert contents() == before
    return printed.err.rstrip()


def contents() -> dict[Path, bytes]:
    """All files of the working directory; a folder's lock, which stays, is empty."""
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file() and path.name != LOCK}


def test_the_tables_of_install_and_remove_name_packs_and_classes(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert model.is_dir()
    said = run(capsys, "install", "farm.pack", "pond.pack", "model")
    assert "installed farm, pond" in said
    assert "their classes farm 0, farm 1, pond 0" in said
    said = run(capsys, "remove", "pond", "model")
    assert "removed pond" in said
    assert "packs farm" in said
    assert "packs none" in run(capsys, "remove", "farm", "model")


def test_install_and_remove_as_json(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_json(capsys, "install", "pond.pack", "farm.pack", "model")
    assert result.keys() == {"folder", "changed", "installed", "classes", "megabytes", "seconds"}
    assert result["folder"] == "model"
    assert result["changed"] == ["pond", "farm"]
    assert result["installed"] == ["farm", "pond"]  # a pack after the one it was trained on top of
    assert result["classes"] == ["farm 0", "farm 1", "pond 0"]
    written = [path.stat().st_size for path in (model / "packs").iterdir()]
    assert result["megabytes"] == pytest.approx(sum(written) / 1e6, abs=0.001)
    result = run_json(capsys, "remove", "pond", "model")
    assert (result["changed"], result["installed"], result["megabytes"]) == (["pond"], ["farm"], 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("install gone.pack model", "gone.pack: no such file (give a pack that edgekit adapt wrote)"),
        (
            "install pond.pack nowhere",
            "nowhere: is not the folder of a model (make one with: edgekit export MODEL -o FOLDER/)",
        ),
        (
            "install farm.pack model",
            "pack farm: a pack of this name is installed (edgekit remove farm model first)",
        ),
        ("remove farm model", "model: pack pond was trained on top of farm (remove pond first)"),
        ("remove cows model", "model: no pack cows is installed (installed are: farm, pond)"),
        (
            "predict model photo.jpg --pack farm.pack",
            "model: packs are installed into a folder (edgekit install PACK model)",
        ),
    ],
)
def test_errors_say_what_to_do_and_change_nothing(
    arguments: str, said: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(PHOTO, "photo.jpg")
    run(capsys, "install", "farm.pack", "pond.pack", str(model))
    assert refused(capsys, *arguments.split()) == f"edgekit: {said}"


def test_install_needs_a_pack_and_a_folder(packs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", str(packs)]) == 2
    assert main(["remove", "farm"]) == 2
    assert "Missing argument 'FOLDER'" in capsys.readouterr().err


def test_predict_finds_a_packs_classes_with_it_alone(
    packs: Path, base_onnx: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert packs.is_dir()
    arguments = ["predict", str(base_onnx), str(PHOTO), "--min-score", "0.3"]
    (with_pack,) = run_json(capsys, *arguments, "--pack", "farm.pack")
    (without,) = run_json(capsys, *arguments)
    assert with_pack.keys() == {"image", "detections"}
    assert {"farm 0", "farm 1"} & {found["category"] for found in with_pack["detections"]}
    assert not {"farm 0", "farm 1"} & {found["category"] for found in without["detections"]}
    assert re.search(r"0\.jpg farm [01] \d", run(capsys, *arguments, "--pack", "farm.pack"))


def test_eval_counts_a_packs_classes_as_new(
    packs: Path, base_onnx: Path, mixed_test: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    frog = random_pack("frog", 1)
    write_packs(packs, replace(frog, classes=("frog",)))
    photos = ["--data", str(mixed_test.file), "--images", str(mixed_test.file.parent)]
    result = run_json(capsys, "eval", str(base_onnx), *photos, "--pack", "frog.pack")
    assert result["per_class"]["frog"]["box"]["AP"] < 0.5  # its weights are random
    assert result["new"]["box"] == result["per_class"]["frog"]["box"]
    assert result["not_in_model"] == ["chicken"]
    assert run_json(capsys, "eval", str(base_onnx), *photos)["old"] == result["old"]


def test_export_writes_packs_into_the_graph_and_names_them(
    packs: Path, base_onnx: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--pack", "pond.pack", "--pack", "farm.pack"]
    result = run_json(capsys, "export", str(base_onnx), "-o", "x.onnx", "--no-verify", *given)
    assert result["packs"] == ["farm", "pond"]
    assert open_onnx(packs / "x.onnx").meta.new_classes == ("farm 0", "farm 1", "pond 0")
    assert "packs farm, pond" in run(capsys, "export", str(base_onnx), "-o", "y.onnx", "--no-verify", *given)


@pytest.mark.parametrize("command", ["predict", "eval", "export"])
def test_a_pack_that_is_not_there(
    command: str, base_onnx: Path, packs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {
        "predict": [str(PHOTO)],
        "eval": ["--data", "x.json", "--images", str(packs)],
        "export": ["-o", "x.onnx"],
    }
    said = refused(capsys, command, str(base_onnx), *more[command], "--pack", "gone.pack")
    assert said == "edgekit: gone.pack: no such file (give a pack that edgekit adapt wrote)"


def test_inspect_of_a_folder_names_its_packs(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_json(capsys, "inspect", "model")["meta"]["packs"] == []
    run(capsys, "install", "farm.pack", "pond.pack", str(model))
    result = run_json(capsys, "inspect", "model")
    assert result.keys() == {"artifact", "kind", "megabytes", "sha256", "parameters", "meta", "details"}
    assert [name for name, _, _ in result["meta"]["packs"]] == ["farm", "pond"]
    assert result["details"]["pack farm"]["classes"] == ["farm 0", "farm 1"]
    assert result["details"]["pack pond"]["on top of"] == ["farm"]
    said = run(capsys, "inspect", "model")
    assert "pack farm classes farm 0; farm 1, megabytes" in said
    assert "pack pond classes pond 0" in said

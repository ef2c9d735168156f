"""No command writes onto an input, or without --force over what edgekit did not make."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgekit.adaptation.adapt import adapt
from edgekit.artifacts.model_names import EMBEDDED
from edgekit.artifacts.outputs import check_outputs, made_here
from edgekit.artifacts.pack_files import write_pack
from edgekit.artifacts.safetensors_files import write_safetensors
from edgekit.cli import main
from edgekit.data.annotations.coco import write_dataset
from edgekit.data.annotations.dataset import Dataset
from edgekit.demo.photo_sets import write_demo_set
from edgekit.demo.run_demo import run_demo
from edgekit.deployment.export.export import export
from edgekit.deployment.precision.conversion import Conversion
from edgekit.errors import EdgekitError
from edgekit.inference.predict import predict
from edgekit.measurement.bench.plan import BenchOptions
from edgekit.model.hints import CheckpointHints
from edgekit.report.bench import bench
from tests.packs import random_pack
from tests.runtime.test_engine_file import written
from tests.tiny_detector import META, write_tiny_detector

MINE = "mine, not edgekit's"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_detector(tmp_path / "tiny.onnx")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (12, 8), (90, 120, 90)).save(folder / name)
    return folder


def contents(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused(message: str, folder: Path, work: Callable[..., object]) -> None:
    """Assert that this is refused, also with ``force``, and that nothing in the folder changed."""
    before = contents(folder)
    for force in (False, True):
        with pytest.raises(EdgekitError, match=message) as raised:
            work(force=force)
        assert "another name" in raised.value.hint
    assert contents(folder) == before


@pytest.mark.parametrize("way", ["itself", "relative", "link", "hard link", "folder's link"])
@pytest.mark.parametrize("what", ["plain", "input", "cpu", "precision", "triton"])
def test_a_graph_is_not_exported_onto_itself(way: str, what: str, tiny: Path, tmp_path: Path) -> None:
    output = {
        "itself": tiny,
        "relative": Path(os.path.relpath(tiny)),
        "link": tmp_path / "link.onnx",
        "hard link": tmp_path / "hard.onnx",
        "folder's link": tmp_path / "folder" / "tiny.onnx",
    }[way]
    if way == "link":
        output.symlink_to(tiny)
    elif way == "hard link":
        output.hardlink_to(tiny)
    elif way == "folder's link":
        output.parent.symlink_to(tmp_path, target_is_directory=True)
    options = {
        "plain": {},
        "input": {"input": "float"},
        "cpu": {"conversion": Conversion("fp32", target="cpu")},
        "precision": {"conversion": Conversion("fp16")},
        "triton": {"triton": tmp_path / "models"},
    }[what]
    refused("is the input", tmp_path, lambda force: export(tiny, output, force=force, **options))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_are_not_exported_onto_their_checkpoint(suffix: str, tmp_path: Path) -> None:
    model = tmp_path / f"x{suffix}"
    if suffix == ".pth":
        torch.save({"a": torch.zeros(3)}, model)
    else:
        write_safetensors(model, {"a": np.zeros(3)}, META)
    refused("is the input", tmp_path, lambda force: export(model, model, format="torchvision", force=force))


def test_an_export_replaces_no_file_that_it_reads(tiny: Path, photos: Path, tmp_path: Path) -> None:
    classes = tmp_path / "x.onnx"
    classes.write_text("dog\n")
    refused(
        "is the input", tmp_path, lambda force: export("demo", classes, force=force, hints=CheckpointHints(classes))
    )
    described = tmp_path / "y.calibration.json"
    about = {"format": "edgekit calibration set 2", "folder": ".", "images": {"a": ""}}
    described.write_text(json.dumps(about))
    wanted = {"conversion": Conversion("int8", calibration=described)}
    refused("is the input", tmp_path, lambda force: export(tiny, tmp_path / "y.onnx", force=force, **wanted))
    (photos / "z.onnx").write_text(MINE)
    refused("among the inputs", tmp_path, lambda force: export(tiny, photos / "z.onnx", verify=photos, force=force))


def test_a_folder_of_parts_replaces_no_folder_with_an_input_or_of_somebody(
    tiny: Path, photos: Path, tmp_path: Path
) -> None:
    inside = Path(shutil.copy(tiny, photos))
    refused("is the input", tmp_path, lambda force: export(inside, photos, force=force))
    refused("is the input", tmp_path, lambda force: export(tiny, photos, verify=photos, force=force))
    inside.unlink()
    before = contents(photos)
    with pytest.raises(EdgekitError, match=r"photos: holds files that are not a model's") as raised:
        export(tiny, photos, force=True)
    assert raised.value.hint == "give another name, or move them away"
    assert contents(photos) == before


@pytest.mark.parametrize("place", ["photos", "link", "one photo"])
def test_photos_are_not_drawn_over(place: str, tiny: Path, photos: Path, tmp_path: Path) -> None:
    output, images = photos, [photos]
    if place == "link":
        output = tmp_path / "link"
        output.symlink_to(photos, target_is_directory=True)
    if place == "one photo":
        images = [photos / "a.png"]
    refused("input", tmp_path, lambda force: predict(tiny, images, output, force=force))


def test_hard_links_of_photos_are_not_drawn_over(tiny: Path, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "drawn"
    output.mkdir()
    (output / "b.png").hardlink_to(photos / "a.png")
    with pytest.raises(EdgekitError, match="among the inputs"):
        predict(tiny, [photos], output, force=True)


def test_pictures_replace_only_pictures_of_edgekit(tiny: Path, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "drawn"
    predict(tiny, [photos], output)
    predict(tiny, [photos], output)
    shutil.copy(photos / "a.png", output / "b.png")
    before = contents(output)
    with pytest.raises(EdgekitError, match=r"drawn/b.png: exists, and nothing in it says that edgekit made it"):
        predict(tiny, [photos], output)
    assert contents(output) == before
    predict(tiny, [photos], output, force=True)
    assert made_here(output / "b.png")


@pytest.mark.parametrize("name", ["found.jsonl", "photos/a.png", "tiny.onnx"])
def test_json_lines_replace_nothing(name: str, tiny: Path, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / name
    if name == "found.jsonl":
        output.write_text(MINE)
        with pytest.raises(EdgekitError, match=r"exists.*--force"):
            predict(tiny, [photos], jsonl=output)
        assert output.read_text() == MINE
        predict(tiny, [photos], jsonl=output, force=True)
        assert len(output.read_text().splitlines()) == 2
    else:
        refused("input", tmp_path, lambda force: predict(tiny, [photos], jsonl=output, force=force))


@pytest.mark.parametrize("page", ["markdown", "html", "json"])
def test_pages_of_a_benchmark(page: str, tiny: Path, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / f"page.{page}"
    output.write_text(MINE)
    command = ["bench", str(tiny), "--images", str(photos), "--runs", "1", f"--{page}", str(output)]
    assert main(command) == 1
    assert output.read_text() == MINE
    assert main([*command, "--force"]) == 0
    assert made_here(output)
    assert main(command) == 0
    if page == "json":
        assert json.loads(output.read_text())["made_by"] == "edgekit"
        assert main([*command, "--against", str(output), "--force"]) == 1


@pytest.mark.parametrize("page", ["markdown", "html"])
def test_pages_replace_no_input(page: str, tiny: Path, photos: Path, tmp_path: Path) -> None:
    options = BenchOptions(photos, runs=1)
    for output in (tiny, photos / "a.png"):
        refused("input", tmp_path, lambda force, to=output: bench([tiny], options, force=force, **{page: to}))


def test_adapting_replaces_nothing_of_others(new_train: Dataset, tmp_path: Path) -> None:
    images, output = new_train.file.parent, tmp_path / "x.safetensors"
    for file in (output, tmp_path / "x.retention.json"):
        file.write_text(MINE)
        with pytest.raises(EdgekitError, match=rf"{file.name}: exists.*--force"):
            adapt("demo", new_train.file, images, output)
        assert file.read_text() == MINE
        file.unlink()
    shutil.copy(new_train.file, tmp_path / "x.retention.json")
    base = Path(shutil.copy(EMBEDDED["demo"], output))
    refused("is the input", tmp_path, lambda force: adapt(base, new_train.file, images, output, force=force))
    data, other = tmp_path / "x.retention.json", tmp_path / "other" / ".." / "x.safetensors"
    base.unlink()
    (tmp_path / "other").mkdir()
    refused("is the input", tmp_path, lambda force: adapt("demo", data, images, other, force=force))


def test_a_pack_replaces_nothing_of_others(new_train: Dataset, tmp_path: Path) -> None:
    images, output = new_train.file.parent, tmp_path / "x.pack"
    output.write_text(MINE)
    with pytest.raises(EdgekitError, match=r"x.pack: exists.*--force"):
        adapt("demo", new_train.file, images, output)
    assert output.read_text() == MINE
    write_pack(output, random_pack("x"))
    assert made_here(output)
    refused(
        "is the input",
        tmp_path,
        lambda force: adapt("demo", new_train.file, images, output, packs=[output], force=force),
    )


def test_a_demo_replaces_nothing_of_others(tmp_path: Path) -> None:
    for name in ("adapted.onnx", "photos/base-test/0003.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(MINE)
        with pytest.raises(EdgekitError, match=rf"{name}: exists"):
            run_demo(tmp_path)
        assert contents(tmp_path) == {tmp_path / name: MINE.encode()}
        (tmp_path / name).unlink()


def test_a_repository_of_others_is_kept(tiny: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "models" / "tiny"
    (theirs / "1").mkdir(parents=True)
    for name in ("config.pbtxt", "labels.txt", "1/model.onnx"):  # the names that edgekit writes as well
        (theirs / name).write_text(MINE)
    before = contents(theirs)
    with pytest.raises(EdgekitError, match=r"models/tiny: holds something else"):
        export(tiny, tmp_path / "out" / "tiny.onnx", triton=tmp_path / "models", verify=False)
    assert contents(theirs) == before
    output = tmp_path / "out" / "tiny.onnx"
    export(tiny, output, triton=tmp_path / "models", verify=False, force=True)
    export(tiny, output, triton=tmp_path / "models", verify=False)
    model = theirs / "1" / "model.onnx"
    assert model.read_bytes() == output.read_bytes()
    refused("is the input", theirs, lambda force: export(model, output, triton=theirs.parent, force=force))


def test_what_edgekit_makes_says_so(tiny: Path, tmp_path: Path) -> None:
    written(tmp_path / "x.engine")
    write_safetensors(tmp_path / "x.safetensors", {"a": np.zeros(3)}, META)
    dataset = write_demo_set("base-test", 1, tmp_path / "set")
    made = [tiny, tmp_path / "x.engine", tmp_path / "x.engine.json", tmp_path / "x.safetensors", dataset.file]
    assert all(map(made_here, [*made, tmp_path / "set" / "0000.jpg"]))
    write_dataset(dataclasses.replace(dataset, file=tmp_path / "again.json"))
    assert made_here(tmp_path / "again.json")
    (tmp_path / "x.engine").write_bytes(b"another's")
    assert not made_here(tmp_path / "x.engine")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torchvisions_weights_say_so_and_load(suffix: str, tmp_path: Path) -> None:
    output = tmp_path / f"x{suffix}"
    export("demo", output, format="torchvision")
    assert made_here(output)
    export("demo", output, format="torchvision")
    if suffix == ".pth":
        for how in ({"mmap": True}, {"mmap": False}):
            assert torch.load(output, weights_only=True, **how)
    torch.save({"a": torch.zeros(3)}, output)
    before = hashlib.sha256(output.read_bytes()).digest()
    with pytest.raises(EdgekitError, match="exists"):
        export("demo", output, format="torchvision")
    assert hashlib.sha256(output.read_bytes()).digest() == before


def test_an_output_is_written_once(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="is to be written twice"):
        check_outputs([tmp_path / "x", tmp_path / "x"], [], True)


def test_a_broken_link_is_somebodys(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(EdgekitError, match="exists"):
        check_outputs([tmp_path / "link"], [], False)

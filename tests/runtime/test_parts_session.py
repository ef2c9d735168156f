"""A folder of a model in parts: what it finds is what the whole graph finds, and packs change nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.manifest import MANIFEST, read_manifest, write_manifest
from edgekit.artifacts.onnx_files import open_onnx
from edgekit.data.images import SAMPLE_PHOTOS
from edgekit.deployment.edits import winograd
from edgekit.deployment.export.export import export
from edgekit.deployment.folder.installing import install, remove
from edgekit.deployment.precision.conversion import Conversion
from edgekit.errors import EdgekitError
from edgekit.graphs.appending import with_packs_appended
from edgekit.model.checkpoint import load_model, save_model
from edgekit.model.hints import CheckpointHints
from edgekit.runtime.opening import open_session
from edgekit.runtime.parts_session import PartsSession, sizes
from edgekit.runtime.selection import Selected, Selection
from edgekit.runtime.session import Outputs
from tests.checkpoints import FASTERRCNN, MASKRCNN, SIZE, random_detector, write
from tests.packs import (
    Found,
    assert_same,
    found_by,
    found_in_parts,
    of_classes,
    parts_of,
    random_pack,
    scenes,
    write_packs,
)

A, ONE = random_pack("a"), random_pack("one", 1, adapter=False)
ON_A = random_pack("on-a", 3, parents=[A])
MANY = random_pack("many", 30)


@pytest.mark.parametrize(
    ("found", "chosen"),
    [(0, ()), (1, (4,)), (4, (4,)), (5, (4, 4)), (15, (16,)), (16, (16,)), (23, (16, 4, 4)), (100, (*(6 * [16]), 4))],
)
def test_sizes_hold_what_was_found(found: int, chosen: tuple[int, ...]) -> None:
    assert sizes(found, (4, 16)) == chosen


def test_sizes_leave_as_few_slots_empty_as_can_be() -> None:
    assert sizes(5, (4, 6)) == (6,)
    assert sizes(8, (4, 6)) == (4, 4)
    assert sizes(8, ()) == ()


@pytest.fixture(scope="module")
def folder(base_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parts_of(base_onnx, tmp_path_factory.mktemp("parts") / "model", A, ON_A, ONE)


def test_it_finds_what_the_whole_graph_finds(folder: Path, base_onnx: Path) -> None:
    whole = with_packs_appended(open_onnx(base_onnx), [A, ON_A, ONE])
    session = PartsSession(folder)
    assert (session.meta.generations, session.meta.parents) == (whole.meta.generations, whole.meta.parents)
    assert session.meta.packs == whole.meta.packs
    assert_same(found_by(whole), found_in_parts(folder), 1e-5)
    assert_same(found_by(base_onnx), found_in_parts(folder, packs=[]), 1e-5)


@pytest.mark.parametrize("packs", [["one", "a"], ["a", "on-a"], ["one"]])
def test_some_of_its_packs(packs: list[str], folder: Path) -> None:
    """In the order that is asked for."""
    every, some = PartsSession(folder).meta, PartsSession(folder, packs).meta
    assert [record.name for record in some.packs] == packs
    one, other = found_in_parts(folder), found_in_parts(folder, packs=packs)
    for classes in some.generations:
        assert_same(of_classes(one, every.categories, classes), of_classes(other, some.categories, classes))


def test_a_pack_without_its_parent_or_of_no_such_name(folder: Path) -> None:
    with pytest.raises(EdgekitError, match="on-a: was trained on top of a"):
        PartsSession(folder, ["on-a"])
    with pytest.raises(EdgekitError, match="no pack owl is installed") as raised:
        PartsSession(folder, ["owl"])
    assert raised.value.hint == "installed are: a, on-a, one"


INT8 = Conversion("int8", calibration=SAMPLE_PHOTOS, keep=("none",))
FORMS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "fp32 for CPUs": {"conversion": Conversion(target="cpu")},
    "fp16": {"conversion": Conversion("fp16", keep=("none",))},
    "int8 for TensorRT": {"conversion": INT8},
    "int8 for CPUs": {"conversion": replace(INT8, target="cpu")},
    "other types": {"input": "float", "labels": "int32"},
}

# Of masks of other numbers of boxes: a value that is rounded to 8 bits may come to lie on the other side.
TOLERANCES = {"fp32": 1e-5, "fp16": 5e-3, "int8": 5e-2}


@pytest.mark.parametrize("form", FORMS)
def test_no_bit_changes_in_any_form(
    form: str, base_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the base model's by packs, in any order and after a removal, and not a pack's by another."""
    if form == "fp32 for CPUs":
        monkeypatch.setattr(winograd, "LEAST_CHANNELS", 1)
        monkeypatch.setattr(winograd, "LEAST_WORK", 0)
    options, model = FORMS[form], parts_of(base_onnx, tmp_path / "model", **FORMS[form])
    conversion = options.get("conversion", Conversion())
    if conversion.precision == "int8":
        table = model / "base.calibration.json"
        options = {**options, "conversion": replace(conversion, calibration=table)}
    whole = export(base_onnx, tmp_path / "whole.onnx", verify=False, **options).output
    meta, alone = PartsSession(model).meta, {"": found_in_parts(model)}
    assert (meta.precision, meta.input_type) == (conversion.precision or "fp32", options.get("input", "uint8"))
    assert_same(found_by(whole), alone[""], TOLERANCES[meta.precision])
    first, second = write_packs(tmp_path, A, ONE)
    install(second, model, force=True)
    alone["one"] = check_base(model, alone[""])
    install(first, model, force=True)
    check_packs(model, alone, ["one"])
    remove("one", model)
    alone["a"] = check_base(model, alone[""])
    install(second, model, force=True)
    check_packs(model, alone, ["one", "a"])
    remove("one", model)
    remove("a", model)
    assert_same(alone[""], found_in_parts(model))


def check_base(model: Path, before: Found) -> Found:
    """Assert that a folder's base model finds what it found; returns all that is found."""
    found, base = found_in_parts(model), PartsSession(model, []).meta.categories
    assert_same(before, of_classes(found, PartsSession(model).meta.categories, base))
    return found


def check_packs(model: Path, alone: dict[str, Found], names: list[str]) -> None:
    """Assert that the base model and some of two installed packs find what they find alone."""
    found, session = check_base(model, alone[""]), PartsSession(model)
    assert len(session.packs) == 2
    for name in names:
        own = PartsSession(model, [name]).meta
        expected = of_classes(alone[name], own.categories, own.new_classes)
        assert_same(expected, of_classes(found, session.meta.categories, own.new_classes))


@pytest.mark.parametrize("count", [1, 16, 17, 33])
def test_more_masks_than_a_mask_graph_makes(count: int, many: Path) -> None:
    """Of slots [40] that are all taken, so many are found: each has the mask that it has among all."""
    session = PartsSession(many)
    assert sorted(session.heads) == [4, 16]
    boxes = np.random.default_rng(0).uniform(0, 150, (40, 4)).astype(np.float32)
    boxes[:, 2:] += boxes[:, :2] + 10
    channels, scores = np.arange(40) % 12 + 1, np.linspace(1, 0.5, 40, dtype=np.float32)
    values = session.base.run({"images": scenes()[0][None]})
    every = session._masked(0, values, boxes, channels, scores)
    assert len(np.unique(every.masks.sum(axis=(1, 2)))) == 40, "every one is another"
    found = session._masked(0, values, boxes, channels, scores * (np.arange(40) < count))
    assert_same([found], [Outputs(*(rows[:count] for rows in every))], 1e-5)


@pytest.fixture(scope="module")
def many_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("many") / "many.onnx"
    return export("demo", output, shape=GraphShape(detections=40), verify=False).output


@pytest.fixture(scope="module")
def many(many_onnx: Path) -> Path:
    """Of 40 slots, which the whole graph pools in ten parts."""
    return parts_of(many_onnx, many_onnx.with_name("model"), MANY)


def test_more_slots_than_are_pooled_at_once(many: Path, many_onnx: Path) -> None:
    found = found_in_parts(many)
    assert max(len(outputs.scores) for outputs in found) > 33
    assert_same(found_by(with_packs_appended(open_onnx(many_onnx), [MANY])), found, 1e-5)


@pytest.mark.slow
def test_all_slots_of_resnet50(tmp_path: Path) -> None:
    model = checkpoint(MASKRCNN, tmp_path)
    shape, pack = GraphShape(proposals=200, detections=100), random_pack("x", 30, base=model)
    whole = export(model, tmp_path / "x.onnx", shape=shape, verify=False).output
    folder = parts_of(whole, tmp_path / "model", pack)
    canvases = [pixels[: SIZE[0], : SIZE[1]] for pixels in scenes()]
    found = found_in_parts(folder, canvases)
    assert max(len(outputs.scores) for outputs in found) > 64
    assert_same(found_by(with_packs_appended(open_onnx(whole), [pack]), canvases), found, 1e-5)


def checkpoint(name: str, folder: Path) -> Path:
    plain = write(random_detector(name), folder / "x.pth")
    save_model(folder / "x.safetensors", *load_model(plain, CheckpointHints(architecture=name), SIZE))
    return folder / "x.safetensors"


def test_a_model_without_masks(tmp_path: Path) -> None:
    model = checkpoint(FASTERRCNN, tmp_path)
    pack, shape = random_pack("x", base=model), GraphShape(proposals=40, detections=10)
    whole = export(model, tmp_path / "x.onnx", shape=shape, verify=False).output
    folder = parts_of(whole, tmp_path / "model", pack)
    assert not [path for path in folder.rglob("*") if "mask" in path.name]
    canvases = [pixels[: SIZE[0], : SIZE[1]] for pixels in scenes()]
    found = found_in_parts(folder, canvases)
    assert found[0].masks.shape == (len(found[0].scores), 0, 0)
    assert_same(found_by(with_packs_appended(open_onnx(whole), [pack]), canvases), found, 1e-5)


def test_nothing_found_runs_no_mask_graph(folder: Path) -> None:
    session = PartsSession(folder, [])
    session.heads = dict.fromkeys(session.heads)  # type: ignore[arg-type]  # none could run
    found = session.infer(np.zeros((*session.meta.input_size, 3), np.uint8))
    assert found.masks.shape == (0, 28, 28)


def test_it_runs_without_pytorch(folder: Path) -> None:
    code = (
        "import sys, pathlib, numpy; from edgekit.runtime.opening import open_session; "
        f"session = open_session(pathlib.Path({str(folder)!r})); "
        "session.infer(numpy.zeros((*session.meta.input_size, 3), numpy.uint8)); "
        "assert session.packs; assert not {'torch', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_is_a_model(folder: Path, tmp_path: Path) -> None:
    assert isinstance(open_session(folder), PartsSession)
    assert isinstance(open_session(folder, Selection("one")), Selected)
    one = Path(shutil.copytree(folder, tmp_path / "one"))
    write_manifest(one / MANIFEST, replace(read_manifest(one), overlaps="one"))
    assert isinstance(open_session(one), Selected)
    assert isinstance(open_session(one, Selection("keep")), PartsSession)
    (pack,) = write_packs(tmp_path, MANY)
    with pytest.raises(EdgekitError, match="packs are installed into a folder") as raised:
        open_session(folder, Selection(packs=(pack,)))
    assert raised.value.hint == f"edgekit install PACK {folder}"

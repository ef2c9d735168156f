"""Export to a folder: of what it can be made, what it replaces, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.manifest import BASE, MANIFEST, check_files, read_manifest
from edgekit.artifacts.onnx_files import open_onnx
from edgekit.data.images import SAMPLE_PHOTOS
from edgekit.deployment.edits import winograd
from edgekit.deployment.export.export import export
from edgekit.deployment.folder.installing import install
from edgekit.deployment.precision.conversion import Conversion
from edgekit.errors import EdgekitError
from edgekit.runtime.parts_session import PartsSession
from tests.packs import assert_same, found_by, found_in_parts, parts_of, random_pack, write_built_in, write_packs
from tests.tiny_detector import META, write_tiny_detector

A, ONE = random_pack("a"), random_pack("one", 1, adapter=False)
ALONE = replace(META, generations=META.generations[:1])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_of_a_graph_with_packs(base_onnx: Path, tmp_path: Path) -> None:
    result = export(base_onnx, tmp_path / "model", packs=write_packs(tmp_path, A, ONE))
    assert (result.output, result.packs, result.precision) == (tmp_path / "model", ("a", "one"), "fp32")
    assert result.verification is not None
    assert result.verification.passed
    assert result.verification.parity.compared > 5
    manifest = read_manifest(result.output)
    check_files(result.output, manifest)
    assert manifest.meta.generations == open_onnx(base_onnx).meta.generations
    assert result.megabytes == pytest.approx(sum(map(len, contents(result.output).values())) / 1e6)
    assert result.nodes > 500


def test_of_a_checkpoint_with_generations_built_in(tmp_path: Path) -> None:
    """They become packs, the later one trained on top of the earlier."""
    model = write_built_in(tmp_path / "x.safetensors", A, ONE)
    folder = export(model, tmp_path / "model").output
    assert [pack.name for pack in read_manifest(folder).packs] == ["generation-1", "generation-2"]
    meta = PartsSession(folder).meta
    assert (meta.new_classes, meta.parents) == ((*A.classes, *ONE.classes), ((), (1,)))
    whole = export(model, tmp_path / "x.onnx", verify=False).output
    assert_same(found_by(whole), found_in_parts(folder), 1e-5)
    assert read_manifest(folder).meta.fingerprint == A.base, "the demo's own packs fit too"


def test_of_a_checkpoint_in_fp16_with_packs(tmp_path: Path) -> None:
    model, conversion = write_built_in(tmp_path / "x.safetensors", ONE), Conversion("fp16", keep=("none",))
    result = export(model, tmp_path / "model", conversion=conversion, packs=write_packs(tmp_path))
    assert (result.precision, result.packs) == ("fp16", ("generation-1",))
    assert PartsSession(tmp_path / "model").meta.precision == "fp16"


def test_packs_of_the_precision_of_the_folder(base_onnx: Path, tmp_path: Path) -> None:
    int8 = replace(A, precision="int8")
    (pack,) = write_packs(tmp_path, int8)
    conversion = Conversion("int8", "cpu", SAMPLE_PHOTOS, ("none",))
    result = export(base_onnx, tmp_path / "model", packs=[pack], conversion=conversion, verify=False)
    assert (result.packs, result.precision) == (("a",), "int8")
    with pytest.raises(EdgekitError, match=r"pack a: was trained on int8 features, and .* computes fp32"):
        export(base_onnx, tmp_path / "other", packs=[pack])
    with pytest.raises(EdgekitError, match=r"pack a: was trained on fp32 features, and .* computes int8"):
        export(base_onnx, tmp_path / "other", packs=write_packs(tmp_path, A), conversion=conversion)
    assert not (tmp_path / "other").exists()


def test_a_folder_of_its_own_is_replaced(base_onnx: Path, tmp_path: Path) -> None:
    first, second = write_packs(tmp_path, A, ONE)
    folder = parts_of(base_onnx, tmp_path / "model", A)
    before = contents(folder)
    for packs in ([], [second]):
        with pytest.raises(EdgekitError, match="model: the pack a is installed there") as raised:
            export(base_onnx, folder, packs=packs, verify=False)
        assert raised.value.hint == "give it with --pack, or --force"
        assert contents(folder) == before
    export(base_onnx, folder, packs=[first, second], verify=False)
    assert [pack.name for pack in read_manifest(folder).packs] == ["a", "one"]
    export(base_onnx, folder, force=True, verify=False)
    assert read_manifest(folder).packs == ()
    assert not (folder / "packs").exists() or not list((folder / "packs").iterdir())
    export(base_onnx, folder, input="float", verify=False)
    assert read_manifest(folder).meta.input_type == "float"
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["model"]


@pytest.mark.parametrize("own", ["none", "whole", "damaged"])
def test_files_of_others_are_not_replaced(own: str, base_onnx: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    if own == "whole":
        parts_of(base_onnx, folder)  # an empty folder is taken
    if own == "damaged":
        (folder / MANIFEST).write_text("{")
    (folder / "mine.txt").write_text("mine")
    before = contents(folder)
    for force in (False, True):
        with pytest.raises(EdgekitError, match="model: holds files that are not a model's") as raised:
            export(base_onnx, folder, force=force, verify=False)
        assert raised.value.hint == "give another name, or move them away"
        assert contents(folder) == before


def test_a_file_in_its_place(base_onnx: Path, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")
    with pytest.raises(EdgekitError, match="model: exists, and nothing in it says that edgekit made it"):
        export(base_onnx, tmp_path / "model", verify=False)
    assert (tmp_path / "model").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"shape": GraphShape(batch=2)}, "--batch"),
        ({"triton": Path("models")}, "--triton"),
    ],
)
def test_what_does_not_go_with_a_folder(options: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=named) as raised:
        export("demo", tmp_path / "model", **options)
    assert raised.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": "fp16"}, r"is fp16 already, .*give the fp32 graph .*--precision fp16"),
        ({"generations": META.generations}, r"has packs or generations built in .*--pack"),
        ({"overlaps": "one"}, "gives one label per object"),
        ({"input_type": "float"}, "takes float32 images"),
    ],
)
def test_graphs_that_are_not_a_base_models(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    graph = write_tiny_detector(tmp_path / "x.onnx", meta=replace(ALONE, **changes))
    with pytest.raises(EdgekitError, match=rf"x\.onnx: {message}"):
        export(graph, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_graphs_in_their_last_form(base_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = export(base_onnx, tmp_path / "int32.onnx", labels="int32", verify=False).output
    with pytest.raises(EdgekitError, match=r"int32\.onnx: its labels are int32"):
        export(narrow, tmp_path / "model")
    monkeypatch.setattr(winograd, "LEAST_CHANNELS", 1)
    monkeypatch.setattr(winograd, "LEAST_WORK", 0)
    cpu = export(base_onnx, tmp_path / "cpu.onnx", conversion=Conversion(target="cpu"), verify=False).output
    with pytest.raises(EdgekitError, match=r"cpu\.onnx: is made for CPUs already .*--target cpu here"):
        export(cpu, tmp_path / "model")
    folder = parts_of(base_onnx, tmp_path / "parts")
    with pytest.raises(EdgekitError, match=r"is not a checkpoint"):
        export(folder, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_folder_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.static.nms.ROUNDS", 0)  # a wrong graph: nothing is suppressed
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))  # not the cached one
    with pytest.raises(EdgekitError, match="differ from those of pytorch"):
        export("demo", tmp_path / "model")
    assert [p.name for p in tmp_path.iterdir()] == ["cache"]


def test_how_overlaps_are_treated_is_in_its_manifest(base_onnx: Path, tmp_path: Path) -> None:
    assert read_manifest(parts_of(base_onnx, tmp_path / "keep")).overlaps == "keep"
    one = export("demo", tmp_path / "one", shape=GraphShape(overlaps="one"), verify=False).output
    assert read_manifest(one).overlaps == "one"
    base = (one / BASE).read_bytes()
    install(write_packs(tmp_path, A), one)
    assert read_manifest(one).overlaps == "one"
    assert (one / BASE).read_bytes() == base

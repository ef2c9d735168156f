"""The manifest of a model in parts: what it keeps, and what it is not to be believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifacts.manifest import (
    BASE,
    MANIFEST,
    InstalledPack,
    Manifest,
    check_files,
    is_parts,
    locked,
    mask_head,
    masks,
    read_manifest,
    write_manifest,
)
from edgekit.artifacts.metadata import ModelMeta
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import sha256
from tests.damage import flip_a_bit

META = ModelMeta(
    "maskrcnn_mobilenet_v2_fpn", (("__background__", "dog"),), (320, 320), precision="int8", fingerprint="ab" * 32
)
SLOTS = 4


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Of a folder with a base model and a pack, whose files hold their names."""
    base = [BASE, mask_head(SLOTS), masks(SLOTS)]
    own = ["packs/farm.pack", "packs/farm.onnx", "packs/farm.masks-4.onnx"]
    (tmp_path / "packs").mkdir()
    for name in (*base, *own):
        (tmp_path / name).write_text(name)
    digests = {name: sha256(tmp_path / name) for name in (*base, *own)}
    pack = InstalledPack("farm", "cd" * 32, own[0], {name: digests[name] for name in own})
    made = Manifest(META, {name: digests[name] for name in base}, (SLOTS,), (pack,), "keep")
    write_manifest(tmp_path / MANIFEST, made)
    return made


def test_a_manifest_comes_back(manifest: Manifest, tmp_path: Path) -> None:
    assert is_parts(tmp_path)
    assert read_manifest(tmp_path) == manifest
    check_files(tmp_path, manifest)
    assert not is_parts(tmp_path / "packs")


def test_installed_packs_are_found_by_name(manifest: Manifest, tmp_path: Path) -> None:
    assert manifest.find("farm", tmp_path) == manifest.packs[0]
    with pytest.raises(EdgekitError, match="no pack zoo is installed") as raised:
        manifest.find("zoo", tmp_path)
    assert raised.value.hint == "installed are: farm"
    assert manifest.without("farm") == replace(manifest, packs=())


def test_the_digest_of_the_base_model_is_of_its_files_alone(manifest: Manifest) -> None:
    assert manifest.without("farm").base_sha256 == manifest.base_sha256
    assert replace(manifest, files=manifest.files | {BASE: "0"}).base_sha256 != manifest.base_sha256


@pytest.mark.parametrize("name", [BASE, "packs/farm.onnx", "packs/farm.pack", masks(SLOTS)])
def test_files_that_are_missing_or_others(name: str, manifest: Manifest, tmp_path: Path) -> None:
    flip_a_bit(tmp_path / name)
    with pytest.raises(EdgekitError, match=rf"{name}: is not the file that manifest.json names"):
        check_files(tmp_path, manifest)
    (tmp_path / name).unlink()
    with pytest.raises(EdgekitError, match=rf"{name}: is missing") as raised:
        check_files(tmp_path, manifest)
    assert "copy the whole folder again" in raised.value.hint


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads((folder / MANIFEST).read_text())
    change(values)
    (folder / MANIFEST).write_text(json.dumps(values))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"format": "edgekit parts 1"}'])
@pytest.mark.usefixtures("manifest")
def test_damaged_manifests(text: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(EdgekitError, match=r"manifest.json: is damaged"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values.pop("files"), "files"),
        (lambda values: values["files"].pop(BASE), r"lists no base.onnx"),
        (lambda values: values["files"].pop(mask_head(SLOTS)), r"lists no mask_head-4.onnx"),
        (lambda values: values["packs"][0]["files"].pop("packs/farm.pack"), r"lists no packs/farm.pack"),
        (lambda values: values["packs"][0]["files"].pop("packs/farm.onnx"), r"lists no packs/farm.onnx"),
        (
            lambda values: values["packs"][0]["files"].pop("packs/farm.masks-4.onnx"),
            r"lists no packs/farm.masks-4.onnx",
        ),
        (lambda values: values["packs"][0].update(pack=BASE), r"lists no base.onnx"),
        (lambda values: values["packs"][0].update(pack=""), "empty name"),
        (lambda values: values["packs"][0].update(price=3), "price"),
        (lambda values: values.update(slots=["many"]), "many"),
        (lambda values: values["meta"].pop("generations"), "metadata is damaged"),
    ],
)
@pytest.mark.usefixtures("manifest")
def test_manifests_with_something_missing_or_wrong(
    change: Callable[[dict[str, Any]], object], said: str, tmp_path: Path
) -> None:
    changed(tmp_path, change)
    with pytest.raises(EdgekitError, match=rf"manifest.json: .*is damaged.*{said}|manifest.json: .*{said}"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.onnx", "packs/../../x.onnx", "..\\x.onnx", ".lock", ""])
@pytest.mark.parametrize("where", ["base", "pack"])
@pytest.mark.usefixtures("manifest")
def test_files_elsewhere_are_not_read(where: str, name: str, tmp_path: Path) -> None:
    changed(tmp_path, lambda v: (v if where == "base" else v["packs"][0])["files"].update({name: "0"}))
    with pytest.raises(EdgekitError, match=r"manifest.json: is damaged: it names a file elsewhere"):
        read_manifest(tmp_path)


@pytest.mark.usefixtures("manifest")
def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    changed(tmp_path, lambda values: values.update(format="edgekit parts 2"))
    with pytest.raises(EdgekitError, match="is not of this edgekit's format") as raised:
        read_manifest(tmp_path)
    assert "update edgekit" in raised.value.hint


def test_one_process_at_a_time_changes_a_folder(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(EdgekitError, match="another process is changing it"),
        locked(tmp_path),
    ):
        raise AssertionError("not reached")
    with locked(tmp_path):
        pass
    with pytest.raises(EdgekitError, match="cannot be changed"), locked(tmp_path / "missing"):
        raise AssertionError("not reached")

"""Packs as files: what is kept, what is refused; their order, and which models they fit."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from edgekit.artifacts.metadata import METADATA_KEY, ModelMeta, PackRecord
from edgekit.artifacts.pack_files import Pack, Parent, combined, ordered, read_pack, write_pack
from edgekit.artifacts.safetensors_files import write_safetensors
from edgekit.errors import EdgekitError
from tests.damage import flip_a_bit

BASE = "ab" * 32
META = ModelMeta("maskrcnn_mobilenet_v2_fpn", (("__background__", "dog"),), (320, 320), fingerprint=BASE)
MODEL = Path("model.onnx")


def pack(name: str, *classes: str, parents: Sequence[Pack] = (), **more: Any) -> Pack:
    names = classes or (f"{name}'s class",)
    rng = np.random.default_rng(len(names))
    rows = {
        "cls_score.weight": (len(names), 3),
        "bbox_pred.weight": (4 * len(names), 3),
        "bbox_pred.bias": (4 * len(names),),
    }
    tensors = {key: rng.normal(size=shape).astype(np.float32) for key, shape in rows.items()}
    own = tuple(Parent(parent.name, parent.sha256) for parent in parents)
    return Pack(name, names, BASE, tensors, **{"input_size": META.input_size, "parents": own, **more})


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, np.ndarray]], None]) -> Path:
    """A pack's file with its description or tensors changed, as a file that is whole."""
    with safe_open(path, framework="numpy") as file:
        about, tensors = json.loads(file.metadata()[METADATA_KEY]), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    change(about, tensors)
    save_file(tensors, path, {METADATA_KEY: json.dumps(about)})
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_pack(tmp_path / "farm.pack", pack("farm", "cow", "hen"))
    return tmp_path / "farm.pack"


def test_all_that_is_in_a_pack_comes_back(tmp_path: Path) -> None:
    first = pack("first")
    about = {"training": {"epochs": 3}, "versions": {"torch": "2"}, "proof": {"retention": {"changed": 0}}}
    made = pack("second", "cow", "hen", parents=[first], precision="int8", refines=("hen",), **about)
    write_pack(tmp_path / "second.pack", made)
    read = read_pack(tmp_path / "second.pack")
    assert {key: value for key, value in vars(read).items() if key not in ("tensors", "sha256")} == {
        key: value for key, value in vars(made).items() if key not in ("tensors", "sha256")
    }
    assert read.parents == (Parent("first", first.sha256),)
    assert read.tensors.keys() == made.tensors.keys()
    assert all(np.array_equal(read.tensors[key], value) for key, value in made.tensors.items())
    assert read.sha256 == made.sha256


def test_a_pack_is_called_as_its_file_and_known_by_what_is_in_it(file: Path, tmp_path: Path) -> None:
    before = read_pack(file)
    after = read_pack(Path(shutil.copy(file, tmp_path / "other name.pack")))
    assert (before.name, after.name) == ("farm", "other name")
    assert before.sha256 == after.sha256
    changes: list[dict[str, Any]] = [{"classes": ("cow", "duck")}, {"base": "cd" * 32}, {"precision": "int8"}]
    changes += [{"parents": (Parent("a", "0"),)}, {"tensors": pack("farm", "cow").tensors}, {"input_size": (96, 64)}]
    assert len({dataclasses.replace(before, **change).sha256 for change in [{}, *changes]}) == 7
    assert dataclasses.replace(before, proof={"model_sha256": before.sha256}, name="x").sha256 == before.sha256


@pytest.mark.parametrize("share", [0.6, 0.8, 0.99])
def test_a_flipped_bit_is_noticed(share: float, file: Path) -> None:
    flip_a_bit(file, share)
    with pytest.raises(EdgekitError, match=r"farm.pack: .*damaged"):
        read_pack(file)


def test_files_that_are_no_packs(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"x.pack: no such file"):
        read_pack(tmp_path / "x.pack")
    (tmp_path / "x.pack").write_text("a list of things to pack")
    with pytest.raises(EdgekitError, match=r"x.pack: is not a safetensors file or is damaged"):
        read_pack(tmp_path / "x.pack")
    write_safetensors(tmp_path / "x.pack", {"a": np.zeros(3)}, META)
    with pytest.raises(EdgekitError, match=r"x.pack: is not a pack"):
        read_pack(tmp_path / "x.pack")
    save_file({"a": np.zeros(3)}, tmp_path / "x.pack")
    with pytest.raises(EdgekitError, match=r"x.pack: is not a pack"):
        read_pack(tmp_path / "x.pack")


def test_a_newer_format_and_another_hash_are_refused(file: Path) -> None:
    rewritten(file, lambda about, _: about.update(classes=["cow", "goat"]))
    with pytest.raises(EdgekitError, match=r"farm.pack: is damaged \(other SHA-256"):
        read_pack(file)
    rewritten(file, lambda about, _: about.update(format="edgekit pack 2"))
    with pytest.raises(EdgekitError, match=r"farm.pack: is not a pack of this edgekit's format") as raised:
        read_pack(file)
    assert "update edgekit" in raised.value.hint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda about, _: about.update(classes=["cow"]), r"cls_score.weight does not have 1 rows"),
        (lambda _, tensors: tensors.pop("bbox_pred.bias"), r"bbox_pred.bias does not have 8 rows"),
        (lambda about, _: about.pop("parents"), "parents"),
        (lambda about, _: about.update(parents=[3]), "subscriptable"),
        (lambda about, _: about.update(classes=3), "iterable"),
        (lambda about, _: about.update(input_size=[64]), "expected 2"),
        (lambda about, _: about.pop("input_size"), "input_size"),
        (lambda about, _: about.pop("refines"), "refines"),
        (lambda about, _: about.update(refines=["duck"]), "it has no class duck to refine"),
        (lambda about, _: about.update(more=3), "more"),
    ],
)
def test_a_description_that_does_not_fit_its_tensors(
    change: Callable[[dict[str, Any], dict[str, np.ndarray]], None], said: str, file: Path
) -> None:
    with pytest.raises(EdgekitError, match=rf"farm.pack: its description is damaged.*{said}"):
        read_pack(rewritten(file, change))


def test_packs_follow_their_parents() -> None:
    first, other = pack("first"), pack("other")
    second = pack("second", parents=[first])
    third = pack("third", parents=[first, second])
    assert [p.name for p in ordered([other, first])] == ["other", "first"]
    assert [p.name for p in ordered([third, other, second, first])] == ["other", "first", "second", "third"]
    assert [p.name for p in ordered([second], [PackRecord("first", first.sha256, 1)])] == ["second"]


def test_packs_that_cannot_be_ordered() -> None:
    first = pack("first")
    second = pack("second", parents=[first])
    with pytest.raises(EdgekitError, match="pack second: was trained on top of first, which is not here") as raised:
        ordered([second])
    assert raised.value.hint == "give first.pack too"
    with pytest.raises(EdgekitError, match="pack copy: is there twice"):
        ordered([first, dataclasses.replace(first, name="copy")])
    with pytest.raises(EdgekitError, match="pack first: is there twice"):
        ordered([first], [PackRecord("built in", first.sha256, 1)])


def test_packs_in_a_circle_are_refused() -> None:
    """No file can say so: a pack's digest counts its parents'."""
    one, two = pack("one", "cow", "hen"), pack("two", "duck")
    for own, parent in ((one, "2"), (two, "1")):
        vars(own)["sha256"], vars(own)["parents"] = {"2": "1", "1": "2"}[parent], (Parent("x", parent),)
    with pytest.raises(EdgekitError, match="pack one: its parents need it in turn"):
        ordered([one, two])


def test_metadata_of_a_model_with_packs() -> None:
    first, other = pack("first", "cow", "hen"), pack("other", "frog")
    second = pack("second", "duck", parents=[first])
    grown = combined(META, [second, other, first], MODEL)
    assert grown.generations == (("__background__", "dog"), ("frog",), ("cow", "hen"), ("duck",))
    assert grown.parents == ((), (), (2,))
    assert [(record.name, record.number) for record in grown.packs] == [("other", 1), ("first", 2), ("second", 3)]
    assert grown.fingerprint == BASE
    assert combined(combined(META, [other, first], MODEL), [second], MODEL) == grown


def test_packs_stand_on_the_generations_that_their_base_model_has() -> None:
    """A generation that was built in is part of what a pack is scored against; another pack is not."""
    adapted = META.with_generation(("cat",))
    grown = combined(adapted, [pack("first", "cow"), pack("other", "frog")], MODEL)
    assert grown.parents == ((), (1,), (1,))


def test_a_pack_that_refines_a_class_the_base_model_has() -> None:
    refining = pack("more", "dog", "cow", refines=("dog",))
    grown = combined(META, [refining, pack("again", "dog", refines=("dog",))], MODEL)
    assert grown.generations == (("__background__", "dog"), ("dog", "cow"), ("dog",))
    assert grown.class_labels == (0, 1, 1, 3, 1)
    assert (grown.refined_classes, grown.new_classes) == (("dog",), ("cow",))


def test_a_pack_that_refines_a_class_of_another() -> None:
    first = pack("first", "cow")
    grown = combined(META, [pack("second", "cow", refines=("cow",), parents=[first]), first], MODEL)
    assert grown.class_labels == (0, 1, 2, 2)
    with pytest.raises(EdgekitError, match="pack first already has the class cow") as raised:
        combined(META, [first, pack("other", "hen", "cow", refines=("hen",))], MODEL)
    assert raised.value.hint == "omit one of these packs"


@pytest.mark.parametrize(
    ("change", "had", "said", "remedy"),
    [
        ({"base": "cd" * 32}, {}, "was trained on the model cdcdcdcdcdcd; model.onnx is abababababab", "base model"),
        ({}, {"fingerprint": ""}, "model.onnx: does not say which base model it is", "export it again"),
        ({"precision": "int8"}, {}, "was trained on int8 features, and model.onnx computes fp32", "--force"),
        (
            {"input_size": (64, 96)},
            {"input_size": (96, 64)},
            "an input of 64x96, and model.onnx has one of 96x64",
            "--size 96x64",
        ),
        ({}, {"precision": "int8"}, "was trained on fp32 features, and model.onnx computes int8", "adapt model.onnx"),
        ({"classes": ("dog",)}, {}, "model.onnx already has the class dog", "omit the pack"),
        ({"classes": ("Dog",)}, {}, "'Dog' and 'dog' differ only by case", "omit the pack"),
        (
            {"classes": ("hen",), "refines": ("hen",)},
            {},
            "refines the class hen, which model.onnx does not have",
            "the class names that the pack was trained with",
        ),
    ],
)
def test_packs_that_do_not_fit(change: dict[str, Any], had: dict[str, Any], said: str, remedy: str) -> None:
    one = dataclasses.replace(pack("one"), **change)
    with pytest.raises(EdgekitError, match=said) as raised:
        combined(dataclasses.replace(META, **had), [one], MODEL)
    assert remedy in raised.value.hint


def test_packs_that_have_a_class_in_common() -> None:
    other, one = pack("other", "goat"), pack("one", "cow")
    with pytest.raises(EdgekitError, match=r"^pack two: pack one already has the class cow") as raised:
        combined(META, [other, one, pack("two", "hen", "cow")], MODEL)
    assert raised.value.hint == "omit one of these packs"
    with pytest.raises(EdgekitError, match=r"^pack two: its classes and those of pack one: 'cow ' and 'cow' differ"):
        combined(META, [other, one, pack("two", "cow ", "hen")], MODEL)
    with pytest.raises(EdgekitError, match=r"^pack two: model.onnx already has the class cat \(omit the pack\)"):
        combined(META.with_generation(("cat",)), [one, pack("two", "cat")], MODEL)


def test_features_of_close_precisions_fit_and_others_are_forced() -> None:
    half = dataclasses.replace(META, precision="fp16")
    assert combined(half, [pack("one", "cow")], MODEL).precision == "fp16"
    eight = dataclasses.replace(META, precision="int8")
    assert combined(eight, [pack("one", "cow", precision="int8")], MODEL).categories[-1] == "cow"
    assert combined(eight, [pack("one", "cow")], MODEL, force=True).categories[-1] == "cow"

"""``adapt`` to a pack: of any form of the base model, what is in it, and what it changes of what was there."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgekit.adaptation.adapt import Adaptation, Learning, adapt
from edgekit.artifacts.model_names import EMBEDDED
from edgekit.artifacts.pack_files import read_pack
from edgekit.comparison.retention import retention
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.images import SAMPLE_PHOTOS
from edgekit.demo.scenes import render_scene
from edgekit.deployment.export.export import export
from edgekit.deployment.folder.installing import install
from edgekit.deployment.precision.conversion import Conversion
from edgekit.errors import EdgekitError
from edgekit.runtime.opening import open_session
from edgekit.runtime.selection import Selection
from edgekit.runtime.session import Outputs, Session, detect
from tests.conftest import once
from tests.packs import random_pack, scenes, write_packs

LITTLE = Learning(epochs=20, views=4)
UNTRAINED = Learning(epochs=0, views=1)


def adapted_to(output: Path, data: Dataset, name: str, **options: object) -> Adaptation:
    return adapt("demo", data.file, data.file.parent, output, (name,), learning=LITTLE, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def made(new_train: Dataset, shared: Path) -> dict[str, Adaptation]:
    """Packs of one class each, trained apart on the embedded model."""

    def both(folder: Path) -> dict[str, Adaptation]:
        return {name: adapted_to(folder / f"{name}.pack", new_train, name) for name in ("chicken", "frog")}

    return once(shared, "packs", both)


def with_packs(*packs: Path) -> Session:
    return open_session("demo", Selection(packs=packs))


def found(session: Session, name: str = "") -> list[Outputs]:
    """What is found of a class, by default of the base model's, in some scenes; labels from the first of these."""
    first = session.meta.categories.index(name) if name else 0
    end = first + 1 if name else len(session.meta.generations[0])
    results = []
    for pixels in (*scenes(), *(render_scene("new-train", number, 1).image for number in range(6))):
        outputs = session.infer(pixels)
        own = (outputs.labels >= first) & (outputs.labels < end) & (outputs.scores > 0)
        results.append(Outputs(*(values[own] for values in outputs)))
    return [outputs._replace(labels=outputs.labels - first) for outputs in results]


def assert_same(some: Sequence[Outputs], others: Sequence[Outputs]) -> None:
    assert sum(len(outputs.scores) for outputs in some) > 0, "nothing was found: the test shows nothing"
    for one, other in zip(some, others, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_pack_is_small_and_holds_its_proof(made: dict[str, Adaptation]) -> None:
    result = made["frog"]
    assert [p.name for p in result.output.parent.iterdir() if "frog" in p.name] == ["frog.pack"]
    assert result.output.stat().st_size < EMBEDDED["demo"].stat().st_size / 10
    pack = read_pack(result.output)
    assert (pack.name, pack.classes, pack.precision, pack.parents) == ("frog", ("frog",), "fp32", ())
    assert pack.base == random_pack("x").base
    assert pack.training["epochs"] == LITTLE.epochs
    assert (pack.proof["format"], pack.proof["model_sha256"]) == ("edgekit proof 1", pack.sha256)
    kept = pack.proof["retention"]
    assert (kept["changed"], kept["compared"]) == (0, result.proof.retention.compared)
    assert kept["compared"] > 0
    assert pack.proof["trunk_sha256_before"] == pack.proof["trunk_sha256_after"]
    assert result.classes == ("frog",)


def test_packs_trained_apart_do_not_know_of_each_other(made: dict[str, Adaptation]) -> None:
    chicken, frog = (made[name].output for name in ("chicken", "frog"))
    base, alone = open_session("demo"), {"chicken": with_packs(chicken), "frog": with_packs(frog)}
    for both in (with_packs(chicken, frog), with_packs(frog, chicken)):
        assert_same(found(base), found(both))
        for name, session in alone.items():
            assert_same(found(session, name), found(both, name))


def test_a_pack_on_top_of_another_names_it(
    made: dict[str, Adaptation], new_train: Dataset, mixed_test: Dataset, tmp_path: Path
) -> None:
    chicken, output = made["chicken"].output, tmp_path / "frog.pack"
    result = adapted_to(output, new_train, "frog", packs=[chicken])
    assert result.old_classes == 13  # the chicken is one
    (parent,) = read_pack(output).parents
    assert (parent.name, parent.sha256) == ("chicken", read_pack(chicken).sha256)
    with pytest.raises(EdgekitError, match="pack frog: was trained on top of chicken, which is not here"):
        with_packs(output)
    before, after = with_packs(chicken), with_packs(output, chicken)
    assert after.meta.parents == ((), (1,))
    pairs = ((detect(before, p.read()), detect(after, p.read())) for p in mixed_test.photos[:3])
    assert retention(pairs, len(before.meta.categories)).changed == 0


def test_a_pack_of_a_graph_belongs_to_the_checkpoint_too(base_onnx: Path, new_train: Dataset, tmp_path: Path) -> None:
    output = tmp_path / "frog.pack"
    result = adapt(base_onnx, new_train.file, new_train.file.parent, output, ("frog",), learning=UNTRAINED)
    assert result.proof.retention.changed == 0
    assert result.proof.runtime.startswith("onnxruntime")
    graph = open_session(base_onnx, Selection(packs=(output,)))
    assert graph.meta.new_classes == with_packs(output).meta.new_classes == ("frog",)
    for ours, theirs in zip(found(graph), found(with_packs(output)), strict=True):
        assert np.allclose(ours.scores, theirs.scores, atol=1e-3)


def test_a_pack_of_a_folder(base_parts: Path, made: dict[str, Adaptation], new_train: Dataset, tmp_path: Path) -> None:
    """On top of what is installed there, and of what is given; the folder is only read."""
    folder = tmp_path / "model"
    export("demo", folder, packs=[made["chicken"].output], verify=False)
    (more,) = write_packs(tmp_path, random_pack("more", 1))
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    output = tmp_path / "frog.pack"
    result = adapt(folder, new_train.file, new_train.file.parent, output, ("frog",), [more], LITTLE)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert (result.old_classes, result.proof.retention.changed) == (14, 0)
    pack = read_pack(output)
    assert [parent.name for parent in pack.parents] == ["chicken", "more"]
    assert (pack.base, pack.precision) == (random_pack("x").base, "fp32")
    session = open_session(folder)
    old = found(session), found(session, "chicken")
    install([output, more], folder)
    grown = open_session(folder)
    assert grown.meta.new_classes == ("chicken", "more 0", "frog")
    assert_same(old[0], found(grown))
    assert_same(old[1], found(grown, "chicken"))
    with pytest.raises(EdgekitError, match=r"frog.pack: .*model has a pack of this name"):
        adapt(folder, new_train.file, new_train.file.parent, output, ("frog",), learning=UNTRAINED)


@pytest.mark.slow
def test_a_pack_of_an_int8_folder_learns_from_its_features(base_onnx: Path, new_train: Dataset, tmp_path: Path) -> None:
    folder, output = tmp_path / "model", tmp_path / "frog.pack"
    conversion = Conversion("int8", "cpu", SAMPLE_PHOTOS, keep=("none",))
    export(base_onnx, folder, conversion=conversion, verify=False)
    result = adapt(folder, new_train.file, new_train.file.parent, output, ("frog",), learning=LITTLE)
    assert result.proof.retention.changed == 0
    assert read_pack(output).precision == "int8"
    before = found(open_session(folder))
    install(output, folder)
    assert_same(before, found(open_session(folder)))
    with pytest.raises(EdgekitError, match="was trained on int8 features"):
        with_packs(output)
    (other,) = write_packs(tmp_path, random_pack("other"))
    with pytest.raises(EdgekitError, match="was trained on fp32 features"):  # before any training
        adapt(folder, new_train.file, new_train.file.parent, tmp_path / "x.pack", ("chicken",), [other])


@pytest.mark.parametrize(
    ("base", "output", "learning", "said", "remedy"),
    [
        ("demo", "x.pack", Learning(scoring="joint"), "joint scoring changes the old rows too", ".safetensors"),
        ("demo", "x.onnx", UNTRAINED, "x.onnx: not a name for what is written", ".pack or, the whole model, .safetens"),
        ("graph", "x.pth", UNTRAINED, "x.pth: not a name for what is written", ".pack or, the whole model, .onnx"),
        (
            "folder",
            "x.onnx",
            UNTRAINED,
            "x.onnx: not a name for what is written",
            "end the name given with -o in .pack",
        ),
    ],
)
def test_outputs_that_cannot_be_written(
    base: str,
    output: str,
    learning: Learning,
    said: str,
    remedy: str,
    base_onnx: Path,
    base_parts: Path,
    new_train: Dataset,
    tmp_path: Path,
) -> None:
    model = {"demo": "demo", "graph": base_onnx, "folder": base_parts}[base]
    with pytest.raises(EdgekitError, match=said) as raised:
        adapt(model, new_train.file, new_train.file.parent, tmp_path / output, learning=learning)
    assert remedy in raised.value.hint
    assert "or, the whole model, .pack" not in raised.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_class_of_a_given_pack_is_not_added_again(
    made: dict[str, Adaptation], new_train: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(EdgekitError, match="class frog: pack frog already has it"):
        adapt("demo", new_train.file, new_train.file.parent, tmp_path / "x.pack", packs=[made["frog"].output])


def test_the_result_of_a_pack_can_be_written_as_json(made: dict[str, Adaptation]) -> None:
    assert dataclasses.asdict(made["frog"])["proof"]["retention"]["changed"] == 0

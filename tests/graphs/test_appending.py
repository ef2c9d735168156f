"""Packs appended to an exported graph: nothing that was there changes, and each finds what it finds alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import OnnxFile, open_onnx
from edgekit.artifacts.pack_files import Pack
from edgekit.artifacts.value_names import INNER
from edgekit.comparison.parity import parity
from edgekit.deployment.edits import winograd
from edgekit.deployment.export.export import export
from edgekit.deployment.precision.conversion import Conversion
from edgekit.errors import EdgekitError
from edgekit.graphs.appending import check_appendable, with_packs_appended
from edgekit.model.architectures import limit
from edgekit.model.checkpoint import load_model, save_model
from edgekit.model.hints import CheckpointHints
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.session import detect
from edgekit.runtime.torch_session import TorchSession
from tests.checkpoints import FASTERRCNN, SIZE, random_detector, write
from tests.packs import assert_same, found_by, of_classes, random_pack, scenes, write_built_in
from tests.tiny_detector import META, write_tiny_detector

A, ONE, MANY = random_pack("a"), random_pack("one", 1, adapter=False), random_pack("many", 30)
ON_A = random_pack("on-a", 3, parents=[A])
ON_BOTH = random_pack("on-both", 2, adapter=False, parents=[A, ON_A])


@pytest.fixture(scope="module")
def base(base_onnx: Path) -> OnnxFile:
    return open_onnx(base_onnx)


def check_packs(
    base: OnnxFile, orders: Sequence[Sequence[Pack]], alone: Sequence[Sequence[Pack]], **canvases: object
) -> None:
    """Assert that in any of ``orders`` the base model's detections are those of its own graph, and the last pack's of
    each of ``alone`` those of a graph with only these."""
    of_base = found_by(base, **canvases)  # type: ignore[arg-type]
    of_packs = []
    for packs in alone:
        file = with_packs_appended(base, packs)
        found = found_by(file, **canvases)  # type: ignore[arg-type]
        of_packs.append(of_classes(found, file.meta.categories, packs[-1].classes))
    for packs in orders:
        file = with_packs_appended(base, packs)
        found = found_by(file, **canvases)  # type: ignore[arg-type]
        assert_same(of_base, of_classes(found, file.meta.categories, base.meta.categories))
        for own, there in zip(alone, of_packs, strict=True):
            assert_same(there, of_classes(found, file.meta.categories, own[-1].classes))


def check_pytorch(
    base: OnnxFile, model: Path | str, packs: Sequence[Pack], limits: tuple[int | None, int | None] = (None, None)
) -> None:
    """Assert that the graph with packs finds what PyTorch finds; ``limits`` are the graph's proposals and slots."""
    file = with_packs_appended(base, packs)
    module, meta = load_model(model, size=base.meta.input_size, packs=packs)
    assert meta.generations == file.meta.generations
    limit(module.base, *limits)
    ours, theirs = OnnxSession(file, "cpu"), TorchSession(module, meta)
    height, width = meta.input_size
    photos = [scene[:height, :width] for scene in scenes()]
    pairs = [(detect(theirs, photo), detect(ours, photo)) for photo in photos]
    result = parity(pairs)
    assert result.compared > 10
    assert (result.matched, result.extra) == (result.compared, 0)
    for pack in packs:
        assert {meta.categories.index(name) for name in pack.classes} & {n for _, d in pairs for n in d.labels.tolist()}


def test_no_bit_changes_whatever_else_is_there(base: OnnxFile) -> None:
    check_packs(
        base,
        orders=[[A, ONE, MANY, ON_A, ON_BOTH], [ON_BOTH, MANY, ON_A, ONE, A]],
        alone=[[A], [ONE], [MANY], [A, ON_A], [A, ON_A, ON_BOTH]],
    )


def test_it_finds_what_pytorch_finds(base: OnnxFile) -> None:
    check_pytorch(base, "demo", [A, ONE, MANY, ON_A, ON_BOTH])


def test_a_parent_counts(base: OnnxFile) -> None:
    """Its classes are scored against those of its parents, so that without them it would score otherwise."""
    with_parent, without = with_packs_appended(base, [A, ON_A]), with_packs_appended(base, [replace(ON_A, parents=())])
    assert with_parent.meta.parents == ((), (1,))
    one, other = (of_classes(found_by(file), file.meta.categories, ON_A.classes) for file in (with_parent, without))
    assert [list(found.scores) for found in one] != [list(found.scores) for found in other]


def test_all_that_was_there_stays(base: OnnxFile) -> None:
    before = base.graph.SerializeToString()
    grown = with_packs_appended(base, [A, ONE])
    assert base.graph.SerializeToString() == before, "packs are appended to a copy"
    assert (grown.path, grown.meta.generations) == (base.path, (*base.meta.generations, A.classes, ONE.classes))
    assert [(r.name, r.sha256, r.number) for r in grown.meta.packs] == [("a", A.sha256, 1), ("one", ONE.sha256, 2)]
    weights = {t.name: t.SerializeToString() for t in grown.graph.graph.initializer}
    assert len(weights) == len(grown.graph.graph.initializer)
    assert {t.name: t.SerializeToString() for t in base.graph.graph.initializer}.items() <= weights.items()
    nodes = [(n.name, n.op_type, list(n.input)) for n in grown.graph.graph.node]
    assert [(n.name, n.op_type, list(n.input)) for n in base.graph.graph.node] == nodes[: len(base.graph.graph.node)]
    assert set(INNER) <= {v.name for v in grown.graph.graph.value_info}, "so that it can grow again"
    onnx.checker.check_model(grown.graph, full_check=True)
    assert with_packs_appended(base, []) is base


def test_one_after_the_other_is_both_at_once(base: OnnxFile) -> None:
    together = with_packs_appended(base, [A, ON_A])
    later = with_packs_appended(with_packs_appended(base, [A]), [ON_A])
    assert later.meta == together.meta
    assert_same(found_by(later), found_by(together))


def test_on_generations_that_are_built_in(tmp_path: Path) -> None:
    """They are part of the base model: a pack is scored against them too, without naming them."""
    model = write_built_in(tmp_path / "built-in.safetensors", A)
    base = open_onnx(export(model, tmp_path / "built-in.onnx", verify=False).output)
    own = random_pack("own", 2, base=model)
    assert with_packs_appended(base, [own]).meta.parents == ((), (1,))
    check_packs(base, orders=[[own]], alone=[[own]])
    check_pytorch(base, model, [own])
    with pytest.raises(EdgekitError, match="was trained on the model"):
        with_packs_appended(base, [ONE])


def test_a_graph_made_for_cpus(base_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "LEAST_CHANNELS", 1)
    monkeypatch.setattr(winograd, "LEAST_WORK", 0)
    graph = open_onnx(export(base_onnx, tmp_path / "cpu.onnx", conversion=Conversion(target="cpu")).output)
    assert winograd.uses_winograd(graph.graph)
    check_packs(graph, orders=[[A, ONE], [ONE, A]], alone=[[A], [ONE]])
    check_pytorch(graph, "demo", [A, ONE])
    grown = with_packs_appended(graph, [A])
    assert winograd.use_winograd(grown.graph) == 0
    assert set(INNER) <= {v.name for v in grown.graph.graph.value_info}


@pytest.mark.parametrize("classes", [5, 2])  # with the background: a base model of one class too
def test_a_faster_rcnn(classes: int, tmp_path: Path) -> None:
    model = tmp_path / "x.safetensors"
    plain = write(random_detector(FASTERRCNN, classes), tmp_path / "x.pth")
    save_model(model, *load_model(plain, CheckpointHints(architecture=FASTERRCNN), SIZE))
    shape = GraphShape(proposals=40, detections=10)
    file = open_onnx(export(model, tmp_path / "x.onnx", shape=shape, verify=False).output)
    packs = [random_pack(name, count, count > 1, base=model) for name, count in (("a", 2), ("b", 1), ("c", 30))]
    canvases = [pixels[: SIZE[0], : SIZE[1]] for pixels in scenes()]
    check_packs(file, [packs], [[pack] for pack in packs], canvases=canvases)
    packs = packs[:2]  # of 30 classes more pairs score well than a graph chooses from; PyTorch has no such limit
    grown = with_packs_appended(file, packs)
    assert [o.name for o in grown.graph.graph.output] == ["boxes", "labels", "scores"]
    check_pytorch(file, model, packs, (40, 10))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"overlaps": "one"}, "gives one label per object"),
        ({"precision": "fp16"}, "is fp16, and classes are added to a graph in fp32"),
        ({"input_type": "float"}, "takes float32 images"),
    ],
)
def test_graphs_that_nothing_can_be_added_to(changes: dict[str, str], message: str, tmp_path: Path) -> None:
    graph = write_tiny_detector(tmp_path / "x.onnx", meta=replace(META, **changes))  # type: ignore[arg-type]
    with pytest.raises(EdgekitError, match=rf"x\.onnx: {message}") as raised:
        check_appendable(open_onnx(graph))
    assert raised.value.hint


def test_a_graph_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"two\.onnx: takes 2 images per run"):
        check_appendable(open_onnx(write_tiny_detector(tmp_path / "two.onnx", batch=2)))
    meta = replace(META, generations=META.generations[:1], fingerprint=A.base, input_size=A.input_size)
    with pytest.raises(EdgekitError, match=r"x\.onnx: has no trunk\.table, .*candidates\.scores.* \(export it again"):
        with_packs_appended(open_onnx(write_tiny_detector(tmp_path / "x.onnx", meta=meta)), [A])


def changed(pack: Pack, **values: object) -> Pack:
    return replace(pack, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("packs", "message"),
    [
        ([changed(A, base="0" * 64)], f"a: was trained on the model 000000000000; .* is {A.base[:12]}"),
        ([changed(A, precision="int8")], "a: was trained on int8 features, and .* computes fp32"),
        ([ON_A], "on-a: was trained on top of a, which is not here"),
        ([A, A], "a: is there twice"),
        ([A, changed(ONE, classes=("a 1",))], "one: pack a already has the class a 1"),
        ([changed(ONE, classes=("apple",))], "one: .* already has the class apple"),
    ],
)
def test_packs_that_do_not_fit(packs: list[Pack], message: str, base: OnnxFile) -> None:
    with pytest.raises(EdgekitError, match=f"pack {message}") as raised:
        with_packs_appended(base, packs)
    assert raised.value.hint


def test_precisions_that_differ_by_rounding_fit(base: OnnxFile) -> None:
    half = changed(A, precision="fp16")
    assert with_packs_appended(base, [half]).meta.new_classes == A.classes
    forced: ModelMeta = with_packs_appended(base, [changed(A, precision="int8")], force=True).meta
    assert forced.new_classes == A.classes

"""A base model's graph in parts: which files there are, what each takes and gives, and that weights stay the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.artifacts.graph_shapes import shapes_of
from edgekit.artifacts.manifest import BASE, BOX_HEAD, CHOOSE, WEIGHTS
from edgekit.artifacts.onnx_files import open_onnx
from edgekit.artifacts.value_names import (
    BOX_FEATURES,
    BOXES,
    CANDIDATES,
    CHANNELS,
    CHOSEN,
    FEATURES,
    FOUND,
    IMAGES,
    LOGITS,
    MASKS,
    PACK_LOGITS,
    PROPOSALS,
    PROPOSED,
    TABLE,
)
from edgekit.graphs.pack_graph import READ
from edgekit.graphs.pack_parts import pack_graphs
from edgekit.graphs.parts import cut, predictors_in, save_sharing_weights, slots_of
from edgekit.graphs.static_check import check_static
from edgekit.model.checkpoint import read_checkpoint
from edgekit.runtime.onnx_session import open_ort
from tests.packs import random_pack, scenes


@pytest.fixture(scope="module")
def graph(base_onnx: Path) -> onnx.ModelProto:
    return open_onnx(base_onnx).graph


@pytest.fixture(scope="module")
def parts(graph: onnx.ModelProto) -> dict[str, onnx.ModelProto]:
    before = graph.SerializeToString()
    made = cut(graph)
    assert graph.SerializeToString() == before, "the graph stays as it was"
    return made


@pytest.fixture(scope="module")
def folder(parts: dict[str, onnx.ModelProto], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, copies = tmp_path_factory.mktemp("parts"), {}
    for name, part in parts.items():
        copies[name] = onnx.ModelProto()
        copies[name].CopyFrom(part)
    save_sharing_weights(made, copies)
    return made


def test_names_inputs_and_outputs(parts: dict[str, onnx.ModelProto]) -> None:
    given = {name: [v.name for v in part.graph.input] for name, part in parts.items()}
    made = {name: [v.name for v in part.graph.output] for name, part in parts.items()}
    heads, masks = ["mask_head-4.onnx", "mask_head-6.onnx"], ["masks-4.onnx", "masks-6.onnx"]  # of 6 slots
    assert set(parts) == {BASE, BOX_HEAD, CHOOSE, *heads, *masks}
    assert slots_of(parts) == (4, 6)
    assert given[BASE] == [IMAGES]
    assert made[BASE] == [*FOUND, PROPOSALS, PROPOSED, BOX_FEATURES, LOGITS, TABLE]
    assert (given[CHOOSE], made[CHOOSE]) == (list(CANDIDATES), list(CHOSEN))
    for name in (BOX_HEAD, *heads):
        assert (given[name], made[name]) == ([BOXES, TABLE], [FEATURES])
    for name in masks:
        assert (given[name], made[name]) == ([FEATURES, CHANNELS], [MASKS])
    assert shapes_of(parts["mask_head-4.onnx"].graph.output)[FEATURES][0] == 4
    assert shapes_of(parts["masks-6.onnx"].graph.output)[MASKS] == [6, 28, 28]


def test_every_part_is_static_and_native(folder: Path, parts: dict[str, onnx.ModelProto]) -> None:
    assert {path.name for path in folder.iterdir()} == {*parts, WEIGHTS}
    for name in parts:
        onnx.checker.check_model(str(folder / name), full_check=True)
        check_static(onnx.load(folder / name))


def test_weights_are_held_once(folder: Path, parts: dict[str, onnx.ModelProto]) -> None:
    large = {t.raw_data for part in parts.values() for t in part.graph.initializer if len(t.raw_data) >= 1024}
    size = sum(map(len, large))
    assert size <= (folder / WEIGHTS).stat().st_size < size + 4096 * len(large)
    for name, part in parts.items():
        held = {t.name: t.raw_data for t in onnx.load(folder / name).graph.initializer}
        assert held == {t.name: t.raw_data for t in part.graph.initializer}
    inside = onnx.load(folder / CHOOSE, load_external_data=False).graph.initializer
    assert not any(t.data_location == onnx.TensorProto.EXTERNAL for t in inside)


def test_a_head_gives_what_the_whole_graph_has_inside(folder: Path, graph: onnx.ModelProto) -> None:
    whole = onnx.ModelProto()
    whole.CopyFrom(graph)
    whole.graph.output.extend(v for v in whole.graph.value_info if v.name in (TABLE, PROPOSALS, BOX_FEATURES))
    names = [TABLE, PROPOSALS, BOX_FEATURES]
    table, proposals, features = open_ort(whole.SerializeToString()).run(names, {IMAGES: scenes()[0][None]})
    (own,) = open_ort(str(folder / BOX_HEAD)).run(None, {BOXES: proposals, TABLE: table})
    assert np.allclose(own, features, atol=1e-4)
    rows = {BOXES: proposals[:4], TABLE: table}
    few, more = open_ort(str(folder / "mask_head-4.onnx")), open_ort(str(folder / "mask_head-6.onnx"))
    (one,), (other,) = few.run(None, rows), more.run(None, {**rows, BOXES: proposals[:6]})
    assert np.allclose(one, other[:4], atol=1e-4)
    assert np.abs(one[0] - one[1]).max() > 0.01


def test_the_predictors_come_out_as_they_are(graph: onnx.ModelProto) -> None:
    tensors = read_checkpoint("demo")[0].tensors
    found = predictors_in(graph)
    assert {"box_predictor.cls_score.weight", "mask_predictor.mask_fcn_logits.bias"} <= set(found)
    for name, values in found.items():
        assert np.array_equal(values, tensors[f"roi_heads.{name}"].numpy()), name


def test_a_packs_graphs_need_nothing_but_what_the_base_gives(folder: Path) -> None:
    parent, pack = random_pack("parent"), random_pack("x", 3)
    made = pack_graphs(folder, pack.tensors, {"parent": len(parent.classes)}, (4, 6))
    assert [v.name for v in made.detect.graph.input] == [*READ, "parent"]
    assert [v.name for v in made.detect.graph.output] == [*CHOSEN, PACK_LOGITS]
    assert shapes_of(made.detect.graph.output)[PACK_LOGITS] == [64, 3]
    assert {slots: shapes_of(g.graph.output)[MASKS] for slots, g in made.masks.items()} == {
        slots: [slots, 28, 28] for slots in (4, 6)
    }
    for graph in (made.detect, *made.masks.values()):
        onnx.checker.check_model(graph, full_check=True)
        check_static(graph)

"""Exported graphs read back: their predictors, and their trunk as files of its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.onnx_files import open_onnx
from edgekit.artifacts.value_names import BOXES, FEATURES, IMAGES, PROPOSALS, PROPOSED, TABLE
from edgekit.deployment.assembly.reading_back import read_heads
from edgekit.deployment.assembly.trunk_files import write_trunk
from edgekit.deployment.export.export import export
from edgekit.errors import EdgekitError
from edgekit.graphs.appending import with_packs_appended
from edgekit.model.checkpoint import load_model
from edgekit.runtime.onnx_session import open_ort
from tests.checkpoints import FASTERRCNN, random_detector, write
from tests.packs import random_pack, scenes

A = random_pack("a")
PLAIN, ON_A = random_pack("plain", 3, adapter=False), random_pack("on-a", 1, parents=[A])


def test_heads_come_back_from_the_graph(base_onnx: Path) -> None:
    file = with_packs_appended(open_onnx(base_onnx), [PLAIN, A, ON_A])
    packs = [PLAIN, A, ON_A]
    rebuilt, (module, _) = read_heads(file), load_model("demo", packs=packs)
    expected = module.predictors.state_dict()
    found = rebuilt.predictors.state_dict()
    for number, pack in enumerate(packs):
        replaced = ("cls_score.", "mask_fcn_logits.") if "adapter.cls_score.weight" in pack.tensors else ()
        for name, tensor in pack.tensors.items():
            if name.startswith(replaced):  # what the adapter computes is all that is in the graph
                continue
            key = f"added.{number}.{name}"
            assert key not in found or np.array_equal(found[key].numpy(), tensor), key
    for name, tensor in expected.items():
        if name.startswith(("box_predictor", "mask_predictor")):
            assert torch.equal(found[name], tensor), name
    assert rebuilt.predictors.parents == ((), (), (2,))
    features = torch.randn(5, module.predictors.box_predictor.cls_score.in_features)
    for ours, theirs in zip(
        rebuilt.predictors.box_predictions(features), module.predictors.box_predictions(features), strict=True
    ):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_graph_without_its_weights(base_onnx: Path) -> None:
    file = open_onnx(base_onnx)
    graph = onnx.ModelProto()
    graph.CopyFrom(file.graph)
    for tensor in graph.graph.initializer:
        tensor.name = tensor.name.replace("box_predictor.cls_score", "other")
    with pytest.raises(EdgekitError, match=r"base\.onnx: its weights are not all to be found") as raised:
        read_heads(dataclasses.replace(file, graph=graph))
    assert "export it again" in str(raised.value.hint)


def test_what_a_graph_says_of_itself(base_onnx: Path) -> None:
    meta: ModelMeta = open_onnx(base_onnx).meta
    exported = {field: getattr(meta, field) for field in ("parent_sha256", "versions", "fingerprint")}
    assert all(exported.values())
    assert dataclasses.replace(load_model("demo")[1], **exported) == meta


def test_the_trunk_computes_what_pytorch_does(base_onnx: Path, tmp_path: Path) -> None:
    module, meta = load_model("demo")
    write_trunk(open_onnx(base_onnx).graph, tmp_path / "trunk", rois=8, mask_rois=3)
    pixels = scenes()[0][None]
    body, box, mask = (open_ort(str(tmp_path / "trunk" / f"{n}.onnx")) for n in ("body", "box_head", "mask_head"))
    table, proposals, proposed = body.run([TABLE, PROPOSALS, PROPOSED], {IMAGES: pixels})
    real = proposals[proposed > 0]
    assert len(real) > 8
    boxes = box.run([FEATURES], {TABLE: table, BOXES: real[:8]})[0]
    masks = mask.run([FEATURES], {TABLE: table, BOXES: real[:3]})[0]
    with torch.inference_mode():
        features, (expected,) = module.trunk(torch.tensor(pixels))
        np.testing.assert_allclose(real, expected.numpy()[: len(real)], atol=1e-2)
        rois = [torch.tensor(real[:8])]
        assert np.allclose(boxes, module.box_features(features, rois, meta.input_size).numpy(), atol=1e-3)
        assert np.allclose(masks, module.mask_features(features, [rois[0][:3]], meta.input_size).numpy(), atol=1e-3)


def test_the_trunk_of_a_faster_rcnn_has_no_mask_head(tmp_path: Path) -> None:
    path = write(random_detector(FASTERRCNN), tmp_path / "x.pth")
    graph = export(path, tmp_path / "x.onnx", verify=False).output
    write_trunk(open_onnx(graph).graph, tmp_path / "trunk", rois=8, mask_rois=3)
    assert {p.name for p in (tmp_path / "trunk").iterdir()} == {"body.onnx", "box_head.onnx"}
    heads, (module, _) = read_heads(open_onnx(graph)), load_model(path)
    assert heads.predictors.mask_predictor is None
    pairs = zip(heads.predictors.parameters(), module.predictors.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)

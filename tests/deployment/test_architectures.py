"""Every architecture as a static graph finds what PyTorch finds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import onnx
import pytest
import torch

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.model_names import TORCHVISION
from edgekit.artifacts.onnx_files import read_onnx, write_onnx
from edgekit.comparison.parity import parity
from edgekit.data.images import SAMPLE_PHOTOS, list_images, read_image
from edgekit.demo.stock_export import export_stock
from edgekit.deployment.assembly.base_graph import to_onnx
from edgekit.deployment.export.export import export
from edgekit.model.checkpoint import load_model
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.hints import CheckpointHints
from edgekit.model.predictors import Generation
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.session import detect
from edgekit.runtime.torch_session import TorchSession
from tests.checkpoints import FASTERRCNN, SIZE, random_detector, write


def check(name: str, tmp_path: Path) -> None:
    """Compare a model and one added generation with an adapter, on few proposals to be quick."""
    module, meta = load_model(
        write(random_detector(name), tmp_path / "x.pth"), hints=CheckpointHints(architecture=name), size=SIZE
    )
    module.base.rpn._post_nms_top_n["testing"] = 40
    module.heads.detections_per_img = 10
    features = module.predictors.box_predictor.cls_score.in_features
    torch.manual_seed(1)
    generation = Generation(2, features, module.predictors.mask_channels, adapter=True)
    generation.cls_score.weight.data = module.predictors.box_predictor.cls_score.weight[1:3].clone()
    generation.bbox_pred.bias.data.zero_()
    module = GenerationalRCNN(module.base, [generation]).eval()
    meta = dataclasses.replace(meta, generations=(*meta.generations, ("new 1", "new 2")))
    graph = to_onnx(module, GraphShape(SIZE))
    names = ["boxes", "labels", "scores", "masks"] if module.has_masks else ["boxes", "labels", "scores"]
    assert [o.name for o in graph.graph.output] == names
    assert graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value == 20
    write_onnx(tmp_path / "x.onnx", graph, meta)
    reference, exported = TorchSession(module, meta), OnnxSession(tmp_path / "x.onnx")
    photos = [read_image(p) for p in list_images(SAMPLE_PHOTOS)[:3]]
    pairs = [(detect(reference, p), detect(exported, p)) for p in photos]
    result = parity(pairs)
    assert result.compared >= 5
    assert result.matched == result.compared
    assert any((found.labels >= 5).any() for _, found in pairs)
    for before, after in pairs:
        assert before.masks.shape[1:] == after.masks.shape[1:]


def test_mobilenet_v3_in_the_graph(tmp_path: Path) -> None:
    check("fasterrcnn_mobilenet_v3_large_320_fpn", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHVISION)
def test_all_in_the_graph(name: str, tmp_path: Path) -> None:
    check(name, tmp_path)


def test_a_foreign_checkpoint_is_what_it_is_said_to_be(tmp_path: Path) -> None:
    """The weights of both MobileNetV3 models have the same names and shapes."""
    path = write(random_detector(FASTERRCNN), tmp_path / "x.pth")
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\n")
    given = {"hints": CheckpointHints(tmp_path / "names.txt", architecture=FASTERRCNN)}
    result = export(path, tmp_path / "x.onnx", shape=GraphShape(SIZE), **given)  # type: ignore[arg-type]
    meta = read_onnx(result.output)[1]
    assert (meta.architecture, meta.categories[1:]) == (FASTERRCNN, ("a", "b", "c", "d"))
    assert result.verification is not None
    assert result.verification.parity.compared > 10
    plain = export(path, tmp_path / "plain.pth", format="torchvision", **given)  # type: ignore[arg-type]
    assert f".{FASTERRCNN}(num_classes=5" in plain.notes[0]


@pytest.mark.slow
def test_export_of_a_foreign_checkpoint(tmp_path: Path) -> None:
    path = write(random_detector(FASTERRCNN), tmp_path / "x.pth")
    result = export(path, tmp_path / "x.onnx", shape=GraphShape(SIZE))
    assert result.verification is not None
    assert result.verification.parity.compared > 10
    assert result.input_size == SIZE


@pytest.mark.slow
def test_torchvisions_own_export_of_a_faster_rcnn(tmp_path: Path) -> None:
    path = write(random_detector(FASTERRCNN), tmp_path / "x.pth")
    export_stock(path, tmp_path / "stock.onnx")
    assert len(onnx.load(tmp_path / "stock.onnx").graph.output) == 3

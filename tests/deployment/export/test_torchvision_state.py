"""State dicts that plain torchvision loads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torchvision.models import get_model_builder

from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.deployment.export.export import export
from edgekit.errors import EdgekitError
from edgekit.model.checkpoint import load_model, save_model
from edgekit.model.generations import GenerationalRCNN
from edgekit.model.predictors import Generation
from tests.checkpoints import random_detector, write


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("maskrcnn_resnet50_fpn", ".pth"),
        ("fasterrcnn_resnet50_fpn", ".safetensors"),
        pytest.param("maskrcnn_resnet50_fpn_v2", ".safetensors", marks=pytest.mark.slow),
    ],
)
def test_torchvisions_builders_load_it(name: str, suffix: str, tmp_path: Path) -> None:
    module, meta = load_model(write(random_detector(name), tmp_path / "x.pth"))
    generations = [Generation(n, 1024, module.predictors.mask_channels, adapter=n == 1) for n in (2, 1)]
    grown = dataclasses.replace(meta, generations=(*meta.generations, ("a", "b"), ("c",)))
    path = tmp_path / "grown.safetensors"
    save_model(path, GenerationalRCNN(module.base, generations), grown)
    output = tmp_path / f"out{suffix}"
    result = export(path, output, format="torchvision")
    assert (result.verification, result.nodes) == (None, 0)
    assert f"{name}(num_classes=8, weights_backbone=None)" in result.notes[0]
    assert "adapters" in result.notes[-1]
    state = load_file(output) if suffix == ".safetensors" else torch.load(output, weights_only=True)
    theirs = get_model_builder(name)(num_classes=8, weights=None, weights_backbone=None)
    theirs.load_state_dict(state, strict=True)
    rows = theirs.roi_heads.box_predictor.cls_score.weight
    assert torch.equal(rows[:5], module.predictors.box_predictor.cls_score.weight)
    assert torch.equal(rows[5:7], generations[0].cls_score.weight)
    _, again_meta = load_model(output)
    assert len(again_meta.categories) == 8


def test_wrong_options(tmp_path: Path) -> None:
    for options, output, message in (
        ({"format": "tflite"}, "x.onnx", "unknown"),
        ({"format": "torchvision"}, "x.onnx", "end it in .pth"),
        ({}, "x.pth", "end it in .onnx"),
        ({"format": "torchvision", "shape": GraphShape((320, 320))}, "x.pth", "weights only"),
        ({"shape": GraphShape((100, 100))}, "x.onnx", "not a size the FPN can take"),
    ):
        with pytest.raises(EdgekitError, match=message):
            export("demo", tmp_path / output, **options)
    assert not list(tmp_path.iterdir())

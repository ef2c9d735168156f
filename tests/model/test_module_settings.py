"""Detectors that a program has constructed: every setting is read from the module."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList

import edgekit
from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.onnx_files import write_onnx
from edgekit.comparison.parity import parity
from edgekit.data.detections import Detections
from edgekit.data.images import SAMPLE_PHOTOS, fit, list_images, read_image
from edgekit.deployment.assembly.base_graph import to_onnx
from edgekit.model.checkpoint import load_model
from edgekit.model.generations import normalise
from edgekit.model.module_settings import settings_of
from edgekit.runtime.onnx_session import OnnxSession
from edgekit.runtime.torch_session import TorchSession
from tests.checkpoints import SIZE
from tests.model.drawn_detectors import COUNT, drawn_detector


def torchvisions_own(model: FasterRCNN, pixels: torch.Tensor) -> Detections:
    """What torchvision's modules find in a canvas [H, W, 3], without its resizing and pasting."""
    images = normalise(pixels[None], model.transform.image_mean, model.transform.image_std)
    size = (int(images.shape[-2]), int(images.shape[-1]))
    with torch.inference_mode():
        features = model.backbone(images)
        proposals, _ = model.rpn(ImageList(images, [size]), features)
        (found,), _ = model.roi_heads(features, proposals, [size])
    masks = found["masks"][:, 0] if "masks" in found else torch.zeros(len(found["scores"]), 0, 0)
    return Detections(*(t.numpy() for t in (found["boxes"], found["labels"], found["scores"], masks)), size)


def seen(session: TorchSession | OnnxSession, pixels: torch.Tensor) -> Detections:
    """What a session finds in a canvas."""
    found = session.infer(pixels.numpy())
    kept = found.scores > 0
    size = (int(pixels.shape[0]), int(pixels.shape[1]))
    return Detections(*(v[kept] for v in (found.boxes, found.labels, found.scores, found.masks)), size)


def compare(seed: int, tmp_path: Path, graph: bool) -> int:
    """Compare a drawn detector with its file in PyTorch, or with the graph made of that; return how many it found."""
    theirs = drawn_detector(seed)
    edgekit.save(copy.deepcopy(theirs), tmp_path / "x.safetensors")
    module, meta = load_model(tmp_path / "x.safetensors", size=SIZE)
    assert meta.settings == settings_of(theirs)
    session: TorchSession | OnnxSession = TorchSession(module, meta)
    if graph:
        write_onnx(tmp_path / "x.onnx", to_onnx(module, GraphShape(SIZE)), meta)
        session = OnnxSession(tmp_path / "x.onnx")
    photos = [torch.tensor(fit(read_image(p), SIZE, meta.settings.pad).pixels) for p in list_images(SAMPLE_PHOTOS)[:3]]
    result = parity((torchvisions_own(theirs, pixels), seen(session, pixels)) for pixels in photos)
    assert result.extra == result.compared - result.matched
    assert result.matched >= 0.99 * result.compared
    assert graph or result.largest_score_difference <= 1e-4
    return result.compared


@pytest.mark.parametrize("seed", range(COUNT))
def test_a_saved_module_finds_what_torchvisions_does(seed: int, tmp_path: Path) -> None:
    assert compare(seed, tmp_path, graph=False) > 0


@pytest.mark.parametrize("seed", [0, 3, 5])
def test_its_graph_too(seed: int, tmp_path: Path) -> None:
    assert compare(seed, tmp_path, graph=True) > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(COUNT))
def test_its_graph_too_for_all(seed: int, tmp_path: Path) -> None:
    assert compare(seed, tmp_path, graph=True) > 0

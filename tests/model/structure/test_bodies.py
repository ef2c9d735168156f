"""Bodies of torchvision's other models: recognised by their tensors, built again, and exported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from torch import nn
from torchvision.models.detection.backbone_utils import BackboneWithFPN

from edgekit.artifacts.detector_settings import FROM_SHAPES
from edgekit.errors import EdgekitError
from edgekit.model.hints import CheckpointHints
from edgekit.model.module_settings import settings_of
from edgekit.model.recognise import recognise
from edgekit.model.structure.bodies import body_channels, body_eps, body_named, body_of, body_shapes
from tests.model.drawn_detectors import compare, drawn_detector

# Bodies, and the layers that an FPN takes of each.
LEVELS = {
    "efficientnet_b0": ("2", "3", "5", "7"),
    "efficientnet_v2_s": ("3", "5"),
    "convnext_tiny": ("1", "3", "5", "7"),
    "mnasnet0_5": ("8", "9", "11", "13"),
    "shufflenet_v2_x0_5": ("stage2", "stage3", "stage4"),
}


def backbone(name: str) -> BackboneWithFPN:
    """A body with an FPN as one builds it with torchvision's classes."""
    channels = [body_channels(name)[level] for level in LEVELS[name]]
    return BackboneWithFPN(body_of(name), {level: str(i) for i, level in enumerate(LEVELS[name])}, channels, 32)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n == "efficientnet_v2_s" else pytest.mark.slow) for n in LEVELS]
)
def test_finds_what_torchvisions_does(name: str, tmp_path: Path) -> None:
    """From the module and, but for what a state dict does not say, from its tensors."""
    theirs = drawn_detector(1, backbone(name))
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = body_eps(name)
    assert compare(theirs, tmp_path, graph=True) > 0
    settings, file = settings_of(theirs), tmp_path / "own.json"
    file.write_text(json.dumps({n: getattr(settings, n) for n in ("anchor_sizes", "anchor_ratios")}))
    found = recognise(theirs.state_dict(), tmp_path / "x.pth", CheckpointHints(settings=file)).settings
    assert {n: getattr(found, n) for n in (*FROM_SHAPES, "norm_eps")} == {
        n: getattr(settings, n) for n in (*FROM_SHAPES, "norm_eps")
    }


def test_a_body_without_its_last_layers_is_told_from_larger_ones() -> None:
    shapes = {n: s for n, s in body_shapes("efficientnet_b1").items() if n[0] in "0123"}
    assert body_named(shapes) == "efficientnet_b1"
    assert body_named({n: s for n, s in shapes.items() if not n.startswith("2.1.")}) is None
    assert body_named({**shapes, "9.weight": (1,)}) is None


def test_a_body_that_edgekit_does_not_build() -> None:
    for name in ("vit_b_16", "efficientnet_b99", "os"):
        with pytest.raises(EdgekitError, match=name):
            body_of(name)

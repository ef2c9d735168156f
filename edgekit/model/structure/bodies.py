"""The bodies of detectors with their FPN, as plain torchvision modules."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import nn
from torchvision.models import get_model_builder
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock, LastLevelMaxPool

from edgekit.artifacts.detector_settings import RESNET, DetectorSettings

MOBILE = ("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small")  # torchvision's, whose ``features`` are bodies


def backbone_of(settings: DetectorSettings) -> BackboneWithFPN:
    """A body and its FPN, with random weights and BatchNorm2d."""
    if settings.body == RESNET:
        body: nn.Module = resnet(settings)
        stages = {f"layer{i}": channels for i, channels in enumerate(settings.stage_channels, start=1)}
        channels = [stages[level] for level in settings.levels]
    else:
        body = get_model_builder(settings.body)(weights=None).features
        channels = [mobile_channels(settings.body)[level] for level in settings.levels]
    return BackboneWithFPN(
        body,
        {level: str(number) for number, level in enumerate(settings.levels)},
        channels,
        settings.fpn_channels,
        extra_blocks=LastLevelMaxPool() if settings.extra_level == "pool" else NoExtraLevel(),
        norm_layer=nn.BatchNorm2d if settings.fpn_norms else None,
    )


class NoExtraLevel(ExtraFPNBlock):
    """An FPN that has no level beyond those of its body; torchvision puts the pooled one where none is given."""

    def forward(self, results, _inputs, names):  # type: ignore[no-untyped-def]
        """The levels as they are."""
        return results, names


def resnet(settings: DetectorSettings) -> nn.Sequential:
    """A ResNet of any depth and widths without its classifier, its layers named as in torchvision's ResNet."""
    stem = settings.stem_channels
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False),
        bn1=nn.BatchNorm2d(stem),
        relu=nn.ReLU(inplace=True),
        maxpool=nn.MaxPool2d(3, stride=2, padding=1),
    )
    before = stem
    for number, (count, channels) in enumerate(zip(settings.blocks, settings.stage_channels, strict=True)):
        stride = 1 if number == 0 else 2
        rest = [_block(settings, number, channels) for _ in range(1, count)]
        layers[f"layer{number + 1}"] = nn.Sequential(_block(settings, number, before, stride), *rest)
        before = channels
    return nn.Sequential(layers)


def _block(settings: DetectorSettings, stage: int, before: int, stride: int = 1) -> nn.Module:
    """A block of a stage that takes ``before`` channels."""
    channels, width = settings.stage_channels[stage], settings.block_channels[stage]
    shortcut = None
    if stride != 1 or before != channels:
        shortcut = nn.Sequential(nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
    if not settings.bottleneck:
        return BasicBlock(before, channels, stride, shortcut)
    planes = channels // Bottleneck.expansion
    # torchvision's width of a group, of 64 channels; a little more, since it rounds down.
    base_width = 64 * width / (planes * settings.groups) + 1e-6
    block = Bottleneck(before, planes, stride, shortcut, settings.groups, base_width)
    if settings.stride_in_1x1:
        block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    return block


@functools.cache
def mobile_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of one of ``MOBILE``."""
    with torch.device("meta"):
        state = get_model_builder(name)(weights=None).features.state_dict()
    return {n: tuple(tensor.shape) for n, tensor in state.items()}


@functools.cache
def mobile_channels(name: str) -> dict[str, int]:
    """How many channels each layer of one of ``MOBILE`` gives."""
    with torch.device("meta"):
        features = get_model_builder(name)(weights=None).features
    return {number: layer.out_channels for number, layer in features.named_children()}


def mobile_named(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Which of ``MOBILE`` has tensors of these shapes, perhaps among others."""
    for name in MOBILE:
        known = mobile_shapes(name)
        if shapes and all(known.get(n) == shape for n, shape in shapes.items()):
            return name
    return None

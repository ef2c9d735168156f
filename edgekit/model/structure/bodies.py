"""The bodies of detectors with their FPN, as plain torchvision modules."""

from __future__ import annotations

import functools
import math
import re
from collections import OrderedDict
from collections.abc import Mapping

import torch
import torchvision
from torch import nn
from torchvision.models import get_model_builder, get_model_weights, list_models
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock, LastLevelMaxPool

from edgekit.artifacts.detector_settings import RESNET, DetectorSettings
from edgekit.errors import EdgekitError

# Beginnings of torchvision's names of models: the part of such a model that is its body, and a tensor that only it has.
FAMILIES = {
    "mobilenet": ("features", r"1\.(conv|block)\.0\."),
    "efficientnet": ("features", r"1\.0\.block\.0\."),
    "convnext": ("features", r"1\.0\.layer_scale"),
    "mnasnet": ("layers", r"8\.0\.layers\."),
    "shufflenet": ("", r"stage2\.0\.branch1\."),
}
BODIES = "torchvision's ResNet, ResNeXt, Wide ResNet, MobileNet, EfficientNet, ConvNeXt, MNASNet or ShuffleNet"
CLASSIFIER = ("avgpool", "fc")  # the layers of a whole model that are not its body
COUNTER = "num_batches_tracked"


def backbone_of(settings: DetectorSettings) -> BackboneWithFPN:
    """A body and its FPN, with random weights and BatchNorm2d."""
    if settings.body == RESNET:
        body: nn.Module = resnet(settings)
        stages = {f"layer{i}": channels for i, channels in enumerate(settings.stage_channels, start=1)}
        channels = [stages[level] for level in settings.levels]
    else:
        body = body_of(settings.body)
        channels = [body_channels(settings.body)[level] for level in settings.levels]
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


def body_of(name: str) -> nn.Module:
    """The body in one of torchvision's models, with random weights; its children run one after the other."""
    part = next((part for prefix, (part, _) in FAMILIES.items() if name.startswith(prefix)), None)
    if part is None or name not in list_models(torchvision.models):
        raise EdgekitError(f"body {name}: is none that edgekit builds", f"edgekit builds {BODIES}")
    return get_model_builder(name)(weights=None).get_submodule(part)


@functools.cache
def body_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of ``body_of``."""
    with torch.device("meta"):
        state = body_of(name).state_dict()
    return {n: tuple(tensor.shape) for n, tensor in state.items()}


@functools.cache
def body_channels(name: str) -> dict[str, int]:
    """How many channels each layer of ``body_of`` gives, in their order."""
    with torch.device("meta"):
        body, x = body_of(name).eval(), torch.zeros(1, 3, 64, 64)
        channels = {}
        for layer, module in body.named_children():
            if layer in CLASSIFIER:
                break
            x = module(x)
            channels[layer] = x.shape[1]
    return channels


def body_named(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Which of torchvision's models has a body with tensors of these shapes; its last layers may be missing."""
    own = {name: shape for name, shape in shapes.items() if not name.endswith(COUNTER)}
    layers = {name.split(".")[0] for name in own}
    for prefix, (_, sign) in FAMILIES.items():
        if any(re.match(sign, name) for name in own):
            for name in _large_enough(prefix, own):
                known = {n: s for n, s in body_shapes(name).items() if n.split(".")[0] in layers}
                if own == {n: s for n, s in known.items() if not n.endswith(COUNTER)}:
                    return name
    return None


def _large_enough(prefix: str, own: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The models of a family that have at least as many parameters as there are here, the smallest first."""
    least = sum(math.prod(shape) for name, shape in own.items() if "running_" not in name)
    names = [name for name in list_models(torchvision.models) if name.startswith(prefix)]
    parameters = {name: next(iter(get_model_weights(name))).meta["num_params"] for name in names}
    return sorted((name for name in names if parameters[name] >= least), key=lambda name: parameters[name])


@functools.cache
def body_eps(name: str) -> float:
    """The epsilon of the batch norms of ``body_of``."""
    with torch.device("meta"):
        norms = [module for module in body_of(name).modules() if isinstance(module, nn.BatchNorm2d)]
    return norms[0].eps if norms else 1e-5

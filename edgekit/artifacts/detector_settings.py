"""What decides what a detector finds and a state dict does not say, or says only by shapes: one record of it all."""

from __future__ import annotations

import difflib
import json
import math
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from edgekit.errors import EdgekitError
from edgekit.files.reading import read_text

ASSUMED = "assumed"  # the origin of what neither the file nor the user says
EXTRA_LEVELS = ("pool", "none")
RESNET = "resnet"
RESNETS = ("blocks", "bottleneck", "stem_channels", "stage_channels", "block_channels", "groups", "stride_in_1x1")
# What the weights' own shapes say.
FROM_SHAPES = (
    *("body", "blocks", "bottleneck", "stem_channels", "stage_channels", "block_channels", "groups"),
    *("levels", "fpn_channels", "fpn_norms", "rpn_convs", "box_bins", "box_convs", "box_norms", "box_features"),
    *("masks", "mask_convs", "mask_norms", "mask_hidden"),
)
SEE_SETTINGS = "see docs/models.md for every setting"
Numbers = tuple[float, ...]


@dataclass(frozen=True)
class DetectorSettings:
    """How a Mask R-CNN or Faster R-CNN with an FPN is built, and by which rules it finds; torchvision's by default.

    ``origins`` says of each field where its value comes from; those without an entry were read from the weights.
    """

    # The body: "resnet" (with its widths), or torchvision's name of a model that it is a part of.
    body: str = RESNET
    blocks: tuple[int, ...] = (3, 4, 6, 3)  # of each stage
    bottleneck: bool = True
    stem_channels: int = 64
    stage_channels: tuple[int, ...] = (256, 512, 1024, 2048)  # that come out of each stage
    block_channels: tuple[int, ...] = (64, 128, 256, 512)  # of the 3x3 convolutions of each stage
    groups: int = 1
    stride_in_1x1: bool = False  # of a bottleneck that halves the size: in its first convolution, or in its 3x3 one
    norm_eps: float = 1e-5
    # The FPN: the layers of the body that it takes.
    levels: tuple[str, ...] = ("layer1", "layer2", "layer3", "layer4")
    fpn_channels: int = 256
    fpn_norms: bool = False
    extra_level: str = "pool"  # every other pixel of the coarsest level, or "none"
    # The RPN: anchors of each level, in pixels; ratios are height / width.
    anchor_sizes: tuple[Numbers, ...] = ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,))
    anchor_ratios: tuple[Numbers, ...] = ((0.5, 1.0, 2.0),) * 5
    anchors_rounded: bool = True
    anchor_offset: float = 0.0  # in strides
    anchor_strides: tuple[int, ...] = ()  # of each level's cells in pixels; none: the input's size // the level's
    rpn_convs: int = 1
    rpn_pre_nms: int = 1000  # best boxes of each level
    rpn_post_nms: int = 1000
    rpn_by_score: bool = False  # whether proposals are ranked by float32 scores, of which many are 1, not by logits
    rpn_nms: float = 0.7
    rpn_min_size: float = 1e-3  # pixels
    rpn_score_threshold: float = 0.0
    # RoI pooling: samples a bin and axis, 0 for as many as the RoI has cells.
    roi_levels: tuple[str, ...] = ("0", "1", "2", "3")
    roi_sampling: int = 2
    roi_aligned: bool = False
    box_bins: int = 7
    mask_bins: int = 14
    # The heads: convolutions before a product, or two products.
    box_convs: tuple[int, ...] = ()
    box_norms: bool = False
    box_features: int = 1024
    masks: bool = True
    mask_convs: tuple[int, ...] = (256, 256, 256, 256)
    mask_norms: bool = False
    mask_hidden: int = 256
    # What detections are chosen by.
    symmetric_clamp: bool = False  # whether sides may neither grow nor shrink by more than 62.5 times, or not grow only
    box_weights: Numbers = (10.0, 10.0, 5.0, 5.0)
    score_threshold: float = 0.05
    nms_threshold: float = 0.5
    detections: int = 100
    # What photos are made into: RGB in 0..1, normalised; the shorter side scaled to so many pixels, the longer at most.
    mean: Numbers = (0.485, 0.456, 0.406)
    std: Numbers = (0.229, 0.224, 0.225)
    min_side: int = 800
    max_side: int = 1333
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        """Raise ValueError, which names the field, for values that cannot be."""
        if self.extra_level not in EXTRA_LEVELS:
            raise ValueError(f"extra_level {self.extra_level}: give one of: {', '.join(EXTRA_LEVELS)}")
        levels = len(self.levels) + (self.extra_level == "pool")
        for name in ("anchor_sizes", "anchor_ratios", *(["anchor_strides"] if self.anchor_strides else [])):
            if len(getattr(self, name)) != levels:
                raise ValueError(f"{name}: has {len(getattr(self, name))} levels, the FPN has {levels}")
        for values in (*self.anchor_sizes, *self.anchor_ratios, self.anchor_strides or (1,)):
            if not values or min(values) <= 0:
                raise ValueError("anchor_sizes, anchor_ratios, anchor_strides: give numbers above 0 for every level")
        if len(set(self.anchors_per_cell)) > 1:
            raise ValueError(f"anchor_sizes, anchor_ratios: levels differ in anchors per cell: {self.anchors_per_cell}")
        for name, count in (("mean", 3), ("std", 3), ("box_weights", 4)):
            if len(getattr(self, name)) != count:
                raise ValueError(f"{name}: give {count} numbers")
        if max(self.mean) > 1 or min(self.mean) < 0:
            raise ValueError(f"mean {list(self.mean)}: give RGB in 0..1, not in 0..255")
        if max(self.std) > 1 or min(self.std) <= 0:
            raise ValueError(f"std {list(self.std)}: give RGB in 0..1, not in 0..255")
        for name in ("rpn_nms", "nms_threshold", "score_threshold", "rpn_score_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)}: give a number of 0 to 1")
        for name in ("rpn_pre_nms", "rpn_post_nms", "detections", "min_side", "max_side", "groups", "fpn_channels",
                     "box_bins", "mask_bins"):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)}: give a number above 0")
        for name in ("norm_eps", "rpn_min_size", "roi_sampling"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)}: give 0 or a number above it")
        if min(self.box_weights) <= 0:
            raise ValueError(f"box_weights {list(self.box_weights)}: give numbers above 0")
        if not {"pool", *map(str, range(len(self.levels)))} & set(self.roi_levels):
            raise ValueError(f"roi_levels {list(self.roi_levels)}: the FPN has 0 to {len(self.levels) - 1}")

    @property
    def pad(self) -> tuple[int, ...]:
        """The pixel that a canvas is filled up with: about 0 once normalised."""
        return tuple(round(255 * m) for m in self.mean)

    @property
    def input_size(self) -> tuple[int, int]:
        """The canvas (height, width) that holds a 4:3 photo scaled by the resizing rule, in multiples of 32."""
        return self.input_size_for((self.min_side, min(self.max_side, self.min_side * 4 // 3)))

    def input_size_for(self, photo: tuple[int, int]) -> tuple[int, int]:
        """The canvas (height, width) of photos of this shape by the resizing rule, in multiples of 32."""
        scale = self.photo_scale(photo)
        height, width = (32 * math.ceil(round(side * scale) / 32) for side in photo)
        return height, width

    def photo_scale(self, photo: tuple[int, int]) -> float:
        """What the resizing rule multiplies the sides of a photo (height, width) by."""
        return min(self.min_side / min(photo), self.max_side / max(photo))

    @property
    def anchors_per_cell(self) -> tuple[int, ...]:
        """How many anchors a cell of each level has."""
        return tuple(len(s) * len(r) for s, r in zip(self.anchor_sizes, self.anchor_ratios, strict=True))

    @property
    def identity(self) -> str:
        """All that decides what is found, as text; the resizing rule is the canvas's."""
        left_out = ("origins", "min_side", "max_side")
        return json.dumps({n: v for n, v in self.values().items() if n not in left_out}, sort_keys=True)

    def uses(self, name: str) -> bool:
        """Whether a field says anything of this detector: a MobileNet has no blocks, a Faster R-CNN no masks."""
        return (self.body == RESNET or name not in RESNETS) and (self.masks or not name.startswith("mask_"))

    def assumed(self) -> tuple[str, ...]:
        """The fields that neither the file nor the user says."""
        return tuple(n for n, origin in self.origins.items() if origin.startswith(ASSUMED) and self.uses(n))

    def values(self) -> dict[str, Any]:
        """The fields by name, without ``origins``."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "origins"}

    def changed(self, values: Mapping[str, Any], origin: str) -> DetectorSettings:
        """These with other values, all from ``origin``.

        Raises ValueError for an unknown field and for values that are not of a field's kind.
        """
        kinds = get_type_hints(DetectorSettings)
        for name in values:
            if name not in self.values():
                close = difflib.get_close_matches(name, self.values(), n=1)
                raise ValueError(f"{name}: is not a setting{f'; there is {close[0]}' if close else ''}")
        read = {name: _as_kind(kinds[name], value, name) for name, value in values.items()}
        return replace(self, **read, origins={**self.origins, **dict.fromkeys(read, origin)})

    def read_from_weights(self, names: Iterable[str]) -> DetectorSettings:
        """These with the fields ``names`` as read from the weights."""
        known = set(names)
        return replace(self, origins={name: origin for name, origin in self.origins.items() if name not in known})

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> DetectorSettings:
        """The record that ``dataclasses.asdict`` made ``values`` of; raises ValueError."""
        values = dict(values)
        origins = values.pop("origins")
        return replace(cls().changed(values, ""), origins={str(k): str(v) for k, v in origins.items()})


def read_settings(file: Path) -> dict[str, Any]:
    """The values in a YAML or JSON file of settings, not looked at yet."""
    try:
        values = yaml.safe_load(read_text(file))
    except OSError as error:
        raise EdgekitError(f"{file}: cannot be read: {error.strerror or error}", "give a file of settings") from None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise EdgekitError(f"{file}: not readable: {' '.join(str(error).split())[:200]}", "give YAML or JSON") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise EdgekitError(f"{file}: holds no settings", "give a mapping of settings, e.g. detections: 300")
    return values


def changed_by_file(settings: DetectorSettings, values: Mapping[str, Any], file: str | Path) -> DetectorSettings:
    """The settings of a model with those that a user's file gives.

    Raises EdgekitError, which names the field, for values that cannot be, or are not those of the weights.
    """
    for name in FROM_SHAPES:
        own, said = getattr(settings, name), values.get(name, getattr(settings, name))
        if (tuple(said) if isinstance(said, list) else said) != own:
            raise EdgekitError(
                f"{file}: {name} {str(said)[:80]}: the weights have {own}", "omit it, the weights say it"
            )
    try:
        return settings.changed(values, str(file))
    except ValueError as error:
        raise EdgekitError(f"{file}: {error}", SEE_SETTINGS) from None


def _as_kind(kind: Any, value: Any, name: str) -> Any:
    """A value as the type of its field; raises ValueError, which names the field."""
    try:
        if kind in (bool, str):
            if not isinstance(value, kind):
                raise ValueError
            return value
        if kind is float and isinstance(value, str):
            value = float(value)  # YAML 1.1 takes 1e-5 for text
        if kind in (int, float):
            if isinstance(value, bool | str) or kind(value) != value:
                raise ValueError
            return kind(value)
        if not isinstance(value, list | tuple):
            raise ValueError
        (inner, *_) = kind.__args__
        return tuple(_as_kind(inner, v, name) for v in value)
    except (ValueError, TypeError, OverflowError):
        shown = kind.__name__ if isinstance(kind, type) and kind in (bool, str, int, float) else "a list"
        raise ValueError(f"{name}: {reprlib.repr(value)} is not {shown}") from None

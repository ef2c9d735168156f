"""A detector of another framework in torchvision's terms: tensors, settings, classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch

from edgekit.artifacts.detector_settings import DetectorSettings
from edgekit.errors import EdgekitError

# The origins of settings: a config that was given, and the weights' file (its tensors or its metadata).
CONFIG, FILE = "config", "file"


@dataclass(frozen=True)
class Foreign:
    """What was read: torchvision's names of tensors (float32, background first), ``classes`` without background.

    ``notes`` says what was rearranged, by subject ("background": "last -> first").
    """

    name: str
    tensors: Mapping[str, torch.Tensor]
    settings: DetectorSettings
    classes: tuple[str, ...] | None
    notes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def settings_by_origin(by_origin: Mapping[str, Mapping[str, Any]], path: object) -> DetectorSettings:
    """The settings of which each origin says some; raises EdgekitError for values that cannot be."""
    try:
        values = {name: value for said in by_origin.values() for name, value in said.items()}
        # Both frameworks lay anchors by the levels' strides, torchvision by the input's size // the level's.
        count = len(values["levels"]) + (values.get("extra_level") != "none")
        values["anchor_strides"] = [2 ** (int(values["levels"][0][-1]) + 1 + i) for i in range(count)]
        settings = DetectorSettings().changed(values, FILE)
        for origin, said in by_origin.items():
            settings = settings.changed(said, origin)
    except ValueError as error:
        raise EdgekitError(f"{path}: {error}", "give the config that these weights were trained with") from None
    return settings

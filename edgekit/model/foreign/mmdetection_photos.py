"""What MMDetection's config makes photos into: channel order, mean and std, and the resizing rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgekit.model.foreign.config_values import MISSING, ConfigFields
from edgekit.model.foreign.rearranging import rgb_statistics

_PIPELINES = (
    "test_dataloader.dataset.pipeline",
    "test_dataloader.dataset.dataset.pipeline",
    "data.test.pipeline",
    "data.test.dataset.pipeline",
    "test_pipeline",
)
_CAFFE = ((103.53, 116.28, 123.675), (1.0, 1.0, 1.0))  # BGR
_PYTORCH = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # RGB


@dataclass
class PhotoRules:
    """Whether the weights see BGR, and notes of what edgekit does otherwise."""

    bgr: bool
    notes: dict[str, str] = field(default_factory=dict)


def photo_rules(fields: ConfigFields, caffe: bool) -> PhotoRules:
    """Take mean, std and the resizing rule into ``fields``; ``caffe`` is the style of the body."""
    steps = ConfigFields(_test_steps(fields), fields.file)
    rgb, mean, std = _statistics(fields, steps)
    assumed_mean, assumed_std = _CAFFE if caffe else _PYTORCH
    bgr = not rgb if rgb is not MISSING else caffe
    taken = rgb_statistics(assumed_mean if mean is MISSING else mean, assumed_std if std is MISSING else std, bgr)
    for name, value in (("mean", mean), ("std", std)):
        fields.take(name, value if value is MISSING else taken[name], taken[name])
    notes = {}
    sides = steps.find("Resize.scale", "Resize.img_scale", "MultiScaleFlipAug.img_scale", default=MISSING)
    name = "scale of the test pipeline's Resize"
    if isinstance(sides, list | tuple) and len(sides) == 1:
        sides = sides[0]
    if sides is not MISSING:
        sides = ConfigFields({name: sides}, fields.file).numbers(name)
        if len(sides) != 2 or min(sides) < 1:
            fields.refuse(name, sides, "one scale, e.g. (1333, 800)")
    fields.take("min_side", sides if sides is MISSING else min(sides), 800)
    fields.take("max_side", sides if sides is MISSING else max(sides), 1333)
    if sides is not MISSING and steps.flag("Resize.keep_ratio") is not True:
        notes["resizing"] = "MMDetection stretches photos to one shape here, edgekit keeps theirs"
    return PhotoRules(bgr, notes)


def _statistics(fields: ConfigFields, steps: ConfigFields) -> tuple[Any, Any, Any]:
    """Whether the weights see RGB, mean and std, each MISSING where it is not said.

    They stand in ``model.data_preprocessor`` (version 3), else in the test pipeline's Normalize or ``img_norm_cfg``.
    """
    if fields.find("model.data_preprocessor") is not MISSING:
        place = "model.data_preprocessor"
        flips = [fields.flag(f"{place}.{name}") for name in ("bgr_to_rgb", "rgb_to_bgr")]
        rgb: Any = True in flips
        source = fields
    else:
        place = "Normalize" if steps.find("Normalize") is not MISSING else "img_norm_cfg"
        source = steps if place == "Normalize" else fields
        if source.find(place) is MISSING:
            return MISSING, MISSING, MISSING
        rgb = source.flag(f"{place}.to_rgb")
        rgb = True if rgb is MISSING else rgb
    found = []
    for name, default in (("mean", (0.0, 0.0, 0.0)), ("std", (1.0, 1.0, 1.0))):
        if source.find(f"{place}.{name}", default=None) is None:
            found.append(default)  # photos are not normalised
            continue
        numbers = source.numbers(f"{place}.{name}")
        if len(numbers) != 3:
            fields.refuse(f"{place}.{name}", numbers, "three channels")
        found.append(numbers)
    return rgb, found[0], found[1]


def _test_steps(fields: ConfigFields) -> dict[str, Mapping[str, Any]]:
    """The steps of the test pipeline by type, also those inside a step of test-time augmentation."""
    for place in _PIPELINES:
        pipeline = fields.find(place)
        if isinstance(pipeline, list | tuple):
            return {str(step["type"]).rsplit(".", 1)[-1]: step for step in _flat(pipeline)}
    return {}


def _flat(steps: Any) -> Iterator[Mapping[str, Any]]:
    for step in steps:
        if isinstance(step, Mapping) and isinstance(step.get("type"), str):
            yield step
            inner = step.get("transforms")
            if step["type"] == "MultiScaleFlipAug" and isinstance(inner, list | tuple):
                yield from (i for i in inner if isinstance(i, Mapping) and isinstance(i.get("type"), str))

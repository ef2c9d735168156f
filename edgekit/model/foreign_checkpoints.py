"""Checkpoints of Detectron2 and MMDetection as torchvision's tensors, and what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekit.artifacts.detector_settings import changed_by_file, read_settings
from edgekit.artifacts.metadata import BACKGROUND, ModelMeta
from edgekit.errors import EdgekitError
from edgekit.model.class_file import read_class_names
from edgekit.model.foreign.config_files import (
    DUMPED_PYTHON,
    DUMPED_YAML,
    is_detectron2_config,
    read_python_config,
    read_yaml_config,
)
from edgekit.model.foreign.converted import Foreign
from edgekit.model.foreign.detectron2 import is_detectron2, read_detectron2
from edgekit.model.foreign.mmdetection import is_mmdetection, read_mmdetection
from edgekit.model.hints import CheckpointHints
from edgekit.model.sources import Weights


def is_foreign(weights: Weights) -> bool:
    """Whether tensors have the names of one of the other frameworks."""
    return is_detectron2(weights.tensors) or is_mmdetection(weights.tensors)


def read_foreign(weights: Weights, path: Path, hints: CheckpointHints) -> tuple[Weights, ModelMeta]:
    """The tensors by torchvision's names, and what they are.

    The settings file of ``hints`` is the framework's own config, or changes single settings.
    """
    if hints.architecture is not None:
        raise EdgekitError(f"--architecture: {path} is not torchvision's", "omit it")
    framework = "Detectron2" if is_detectron2(weights.tensors) else "MMDetection"
    config, changes = _settings_file(hints, framework, path)
    if framework == "Detectron2":
        found = read_detectron2(weights.tensors, config, path, hints.settings)
    else:
        meta = weights.rest.get("meta")
        meta = meta if isinstance(meta, dict) else {}
        found = read_mmdetection(weights.tensors, meta, config, path, hints.settings)
    settings = found.settings
    if hints.settings is not None:
        settings = changed_by_file(settings, changes, hints.settings)
    classes, source = _classes(found, hints, path)
    meta_of = ModelMeta(
        architecture=found.name,
        generations=((BACKGROUND, *classes),),
        input_size=settings.input_size,
        settings=settings,
        recognised={"architecture": "by its tensors", "class names": source, **found.notes},
    )
    return replace(weights, tensors=dict(found.tensors)), meta_of


def _settings_file(hints: CheckpointHints, framework: str, path: Path) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The config that the settings file is, or else the single settings in it; raises for the other framework's."""
    if hints.settings is None:
        return None, {}
    file = Path(hints.settings)
    if file.suffix == ".py":
        if framework == "Detectron2":
            raise EdgekitError(f"{file}: is Python, as MMDetection's configs, and {path} is Detectron2's", DUMPED_YAML)
        return read_python_config(file), {}
    values = read_settings(file)
    if not is_detectron2_config(values):
        return None, values
    if framework == "MMDetection":
        raise EdgekitError(f"{file}: is Detectron2's config, and {path} is MMDetection's", DUMPED_PYTHON)
    return read_yaml_config(file), {}


def _classes(found: Foreign, hints: CheckpointHints, path: Path) -> tuple[tuple[str, ...], str]:
    """The names of the classes without the background, and where they come from."""
    count = found.tensors["roi_heads.box_predictor.cls_score.weight"].shape[0]
    if hints.base_classes is not None:
        return tuple(read_class_names(Path(hints.base_classes), count, path)), str(hints.base_classes)
    if found.classes is not None:
        return found.classes, found.notes.get("classes", "its metadata")
    return tuple(f"class {i}" for i in range(1, count)), "made up: --base-classes gives the real ones"

"""Detectors that a program has constructed itself, written as files that describe themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from edgekit.artifacts.class_names import find_alike
from edgekit.artifacts.metadata import BACKGROUND, ModelMeta, tool_versions
from edgekit.artifacts.outputs import check_outputs
from edgekit.errors import EdgekitError
from edgekit.model.class_file import read_class_names
from edgekit.model.hints import CheckpointHints

if TYPE_CHECKING:
    from torchvision.models.detection import FasterRCNN


def save(module: FasterRCNN, output: str | Path, classes: Sequence[str] = (), force: bool = False) -> ModelMeta:
    """Write a constructed torchvision Faster R-CNN or Mask R-CNN to a .safetensors file that any command takes.

    Every setting is read from the module: anchors, thresholds, mean, ... ``classes`` names its classes without the
    background (default: "class 1", ...). ``force`` replaces a file that edgekit did not make. Raises EdgekitError,
    which names the part, for a module that edgekit would build otherwise.
    """
    from edgekit.model.checkpoint import save_model
    from edgekit.model.generations import GenerationalRCNN
    from edgekit.model.module_settings import settings_of
    from edgekit.model.structure.labels import label

    output = Path(output)
    if output.suffix.lower() != ".safetensors":
        raise EdgekitError(f"{output}: not a name for a model that describes itself", "end it in .safetensors")
    check_outputs([output], [], force)
    settings = settings_of(module)
    count = module.roi_heads.box_predictor.cls_score.out_features - 1
    names = tuple(classes) or tuple(f"class {i}" for i in range(1, count + 1))
    if len(names) != count:
        raise EdgekitError(f"classes: {len(names)} names, and the module has {count} classes", "name every class once")
    if alike := find_alike(names, names):
        raise EdgekitError(f"classes: the names {alike}", "give every class its own name")
    if len(set(names)) < len(names):
        raise EdgekitError("classes: a name is there twice", "give every class its own name")
    generations = ((BACKGROUND, *names),)
    meta = ModelMeta(label(settings), generations, settings.input_size, settings=settings, versions=tool_versions())
    save_model(output, GenerationalRCNN(module.eval()), meta)
    return meta


@contextlib.contextmanager
def as_file(model: str | Path | FasterRCNN, hints: CheckpointHints) -> Iterator[tuple[str | Path, CheckpointHints]]:
    """The file of a model, and what is left to say of it; a module's file exists for as long as the block runs.

    Of ``hints`` a module needs none but the names of its classes.
    """
    if isinstance(model, str | Path):
        yield model, hints
        return
    replace(hints, base_classes=None).refuse(Path("module"))
    classes: list[str] = []
    if hints.base_classes is not None:
        count = model.roi_heads.box_predictor.cls_score.out_features
        classes = read_class_names(Path(hints.base_classes), count, Path("module"))
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"{type(model).__name__}.safetensors"
        save(model, file, classes)
        yield file, CheckpointHints()

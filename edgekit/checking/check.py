"""Annotated photos checked before anything is learned from them: faults, sizes, near-duplicates, probable mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from edgekit.artifacts.detector_settings import DetectorSettings
from edgekit.artifacts.input_sizes import check_size, choose_input_size
from edgekit.artifacts.outputs import check_outputs
from edgekit.checking.check_page import check_page
from edgekit.checking.check_result import Check
from edgekit.checking.class_facts import class_facts, photo_shapes, smallest_objects
from edgekit.checking.example_photos import photos_with_faults
from edgekit.checking.sides import Sides, look_at_both
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.coco import write_dataset
from edgekit.data.annotations.dataset import Dataset, Photo
from edgekit.data.annotations.faults import REFUSED, Faults, ReadingOptions
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import output_file, write_text
from edgekit.model.hints import CheckpointHints
from edgekit.progress import Track, silent

if TYPE_CHECKING:
    from edgekit.adaptation.bases import Adaptable
    from edgekit.checking.base_findings import BaseFindings


def check(
    data: str | Path,
    images: str | Path,
    base: str | Path | None = None,
    output: str | Path = Path("check.html"),
    fix: str | Path | None = None,
    val: str | Path | float | None = None,
    size: tuple[int, int] | None = None,
    reading: ReadingOptions = ReadingOptions(),
    hints: CheckpointHints = CheckpointHints(),
    cache: str | Path | None = None,
    cache_gb: float = 10.0,
    seed: int = 0,
    force: bool = False,
    track: Track = silent,
) -> Check:
    """Check annotated photos, and write what was found as a page to ``output``.

    With a ``base`` model, also which objects its RPN proposes, and which annotations a quick adaptation contradicts:
    each half of the photos is judged by what was learned on the other. ``val`` is what ``adapt`` takes: annotated
    photos, or the share of these, that are held out. ``size`` is the canvas (height, width) that objects are measured
    on, by default the base model's own or what suits the photos. ``fix`` is a file to write the annotations to as COCO
    JSON, repaired and without what was left out, unless there are faults that only the user can mend. ``cache`` and
    ``cache_gb`` are those of ``FeatureStore``.
    """
    data, images, output = Path(data), Path(images), Path(output)
    fix, val = Path(fix) if fix is not None else None, Path(val) if isinstance(val, str) else val
    if size is not None:
        check_size(size)
    check_outputs([output, fix], [data, images, base, val, *hints.files], force)
    for file in (output, fix):
        if file is not None:
            output_file(file)
    model, faults = _opened(base, hints, size), Faults(reading)
    source, known = AnnotationSource(data, (images,)), model.meta.categories if model is not None else ()
    sides = look_at_both(source, val, known, seed, faults, track)
    dataset, suggested = sides.dataset, _suggested(sides.dataset.photos, model)
    findings, shown = _findings(model, sides, Path(cache) if cache else None, cache_gb, size, seed, track)
    canvas = findings.input_size if findings is not None else size or suggested
    fixed = _fixed(dataset, images, fix, faults)
    facts = _facts(sides, faults, canvas)
    named = None if base is None else str(base)
    result = Check(
        data, images, named, output, fixed, size=canvas, suggested_size=suggested, findings=findings, **facts
    )
    write_text(output, check_page(result, shown, photos_with_faults(source, faults), seed))
    return result


def _facts(sides: Sides, faults: Faults, canvas: tuple[int, int]) -> dict[str, Any]:
    """The fields of a result that are known without a base model."""
    dataset = sides.dataset
    return {
        "photos": len(dataset.photos),
        "held_out": sum(sides.held_out),
        "classes": class_facts(dataset, canvas),
        "shapes": photo_shapes(dataset.photos),
        "faults": tuple(faults.rows()),
        "causes": tuple(faults.causes),
        "smallest": smallest_objects(dataset.photos, canvas),
        "duplicates": sides.duplicates(),
    }


def _opened(base: str | Path | None, hints: CheckpointHints, size: tuple[int, int] | None) -> Adaptable | None:
    if base is None:
        if hints != CheckpointHints():
            raise EdgekitError("--base-classes, --architecture, --settings: describe a base model", "give BASE")
        return None
    from edgekit.adaptation.bases import open_base

    return open_base(base, hints=hints, size=size)


def _findings(
    model: Adaptable | None,
    sides: Sides,
    cache: Path | None,
    cache_gb: float,
    size: tuple[int, int] | None,
    seed: int,
    track: Track,
) -> tuple[BaseFindings | None, Dataset]:
    """What the base model says, on the canvas that ``adapt`` would choose, and the dataset with the masks that it makes
    where objects have only a box."""
    if model is None or not sides.dataset.photos:
        return None, sides.dataset
    from edgekit.adaptation.bases import suited_base
    from edgekit.adaptation.features.feature_cache import FeatureStore
    from edgekit.checking.base_findings import base_findings

    base = model if size else suited_base(model, sides.dataset.photos)
    return base_findings(
        base, sides.dataset, sides.groups[: len(sides.dataset.photos)], FeatureStore(cache, cache_gb), seed, track
    )


def _suggested(photos: Sequence[Photo], model: Adaptable | None) -> tuple[int, int]:
    """The canvas that suits the photos, by the model's resizing rule, or else by torchvision's without enlarging."""
    settings = model.meta.settings if model is not None else DetectorSettings()
    shapes = [(photo.height, photo.width) for photo in photos]
    if not shapes:
        return settings.input_size
    if model is None:
        sides = [int(median(map(side, shapes))) for side in (min, max)]
        settings = replace(
            settings, min_side=min(sides[0], settings.min_side), max_side=min(sides[1], settings.max_side)
        )
    return choose_input_size(settings, shapes).size


def _fixed(dataset: Dataset, images: Path, file: Path | None, faults: Faults) -> Path | None:
    """Write the repaired annotations, unless something is left that only the user can mend."""
    if file is None or faults.causes or faults.treated(REFUSED) or not dataset.photos:
        return None
    write_dataset(replace(dataset, file=file), images)
    return file

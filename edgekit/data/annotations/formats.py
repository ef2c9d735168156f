"""Annotated photos in any format: which one it is, told by the path, and the reader of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.data.annotations.annotation_records import DatasetRecord
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.building import build_dataset
from edgekit.data.annotations.coco import is_coco, read_coco
from edgekit.data.annotations.cvat import is_cvat, read_cvat
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.faults import Faults, ReadingOptions
from edgekit.data.annotations.folder_layouts import inner_sources, report_other_splits
from edgekit.data.annotations.label_studio import is_label_studio, read_label_studio
from edgekit.data.annotations.labelbox import is_labelbox, read_labelbox
from edgekit.data.annotations.labelme import is_labelme, read_labelme
from edgekit.data.annotations.other_formats import other_format
from edgekit.data.annotations.supervisely import is_supervisely, read_supervisely
from edgekit.data.annotations.via import is_via, read_via
from edgekit.data.annotations.voc import is_voc, read_voc
from edgekit.data.annotations.yolo import is_yolo, read_yolo
from edgekit.errors import EdgekitError
from edgekit.files.reading import check_folder, list_files, read_text, refuse_special


@dataclass(frozen=True)
class Format:
    """A format of annotations: its name, what it is given as, whether a source is of it, and its reader.

    A reader parses and judges nothing but what it cannot put into a record: that it adds to the faults.
    """

    name: str
    given_as: str
    recognises: Callable[[AnnotationSource], bool]
    read: Callable[[AnnotationSource, Faults], DatasetRecord]


FORMATS = (
    Format("COCO", "a JSON file", is_coco, read_coco),
    Format("YOLO", "data.yaml or its folder", is_yolo, read_yolo),
    Format("LabelMe", "a folder of JSON files", is_labelme, read_labelme),
    Format("Pascal VOC", "a folder of XML files", is_voc, read_voc),
    Format("CVAT", "the XML file for images", is_cvat, read_cvat),
    Format("Label Studio", "a JSON file", is_label_studio, read_label_studio),
    Format("Labelbox", "an NDJSON file", is_labelbox, read_labelbox),
    Format("Supervisely", "a project's folder", is_supervisely, read_supervisely),
    Format("VIA", "a JSON file", is_via, read_via),
)

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")


def read_dataset(
    annotations: Path, *images: Path, split: str = "", options: ReadingOptions = ReadingOptions()
) -> Dataset:
    """Read annotated photos in any of ``FORMATS``, told by what ``annotations`` is.

    The photos are looked for in the folders ``images``; a YOLO dataset's are all those in the first. ``split`` picks
    one of the splits that a YOLO data.yaml names (train, val, test) instead, other formats have none. Raises an
    ``AnnotationError`` that holds all that is wrong, and an ``EdgekitError`` where nothing can be read.
    """
    faults = Faults(options)
    dataset = collect_dataset(AnnotationSource(annotations, images, split), faults)
    faults.raise_refused()
    return dataset


def collect_dataset(source: AnnotationSource, faults: Faults) -> Dataset:
    """Read annotated photos as ``read_dataset`` does, and collect in ``faults`` what is wrong instead of raising it;
    the dataset is what is left."""
    for folder in source.images:
        check_folder(folder, "give the folder that holds the photos")
    own = Faults(faults.options)
    form, found = _locate(source)
    record = form.read(found, own)
    if found is not source:
        report_other_splits(source.path, found.path, own)
        record = replace(record, folders=(*record.folders, found.path))
    dataset = build_dataset(record, source.images, own)
    faults.extend(own)
    return dataset


def detect_format(source: AnnotationSource) -> Format:
    """The format of annotations; raises where it is none that edgekit reads, or could be several."""
    return _locate(source)[0]


def _locate(source: AnnotationSource) -> tuple[Format, AnnotationSource]:
    """The format of annotations, and where they are: the source, or a folder in it."""
    path = source.path
    if not path.exists():
        raise EdgekitError(f"{path}: no such file", f"give the annotations: {_known()}")
    if not path.is_dir():
        refuse_special(path)
    for candidate in (source, *inner_sources(source)):
        found = [form for form in FORMATS if form.recognises(candidate)]
        if len(found) == 1:
            return found[0], candidate
        if found:
            names = " and ".join(form.name for form in found)
            raise EdgekitError(
                f"{candidate.path}: holds annotations of several formats: {names}", "move those of one elsewhere"
            )
    if path.is_dir():
        _refuse_folder(path)
    if path.suffix.lower() in ARCHIVES:
        raise EdgekitError(f"{path}: is an archive", "unpack it, and give the annotations in it")
    if path.suffix.lower() in (".xml", ".txt"):
        raise EdgekitError(f"{path}: holds the annotations of one photo", f"give the folder: {path.parent}")
    if path.suffix.lower() == ".json" and source.document is None:
        raise EdgekitError(f"{path}: cannot be read as JSON{_json_problem(path)}", "export the annotations again")
    if name := other_format(source.document):
        raise EdgekitError(f"{path}: is {name}'s JSON, which edgekit does not read", "export COCO from there")
    raise EdgekitError(f"{path}: is in no format of annotations that edgekit reads", f"give {_known()}")


def _refuse_folder(folder: Path) -> None:
    if list_files(folder, [".txt"]) or (folder / "labels").is_dir():
        raise EdgekitError(
            f"{folder}: looks like YOLO but has no data.yaml",
            "write one beside images and labels: names: [frog, chicken]",
        )
    raise EdgekitError(f"{folder}: holds no annotations in a format that edgekit reads", f"give {_known()}")


def _json_problem(path: Path) -> str:
    try:
        json.loads(read_text(path))
    except (OSError, ValueError, RecursionError, EdgekitError) as error:
        return f" ({error})"
    return ""


def _known() -> str:
    return ", ".join(f"{form.name} ({form.given_as})" for form in FORMATS)

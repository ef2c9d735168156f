"""Pascal VOC folders: one XML file per photo, with boxes only."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from edgekit.data.annotations.annotation_records import DatasetRecord, ObjectRecord, PhotoRecord, categories_of
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.fault_kinds import BAD_FILE
from edgekit.data.annotations.faults import Faults
from edgekit.files.reading import list_files


def is_voc(source: AnnotationSource) -> bool:
    """Whether a source is a folder of XML files that each annotate a photo."""
    return source.path.is_dir() and any(map(_is_voc_file, _xml_files(source.path)[:1]))


def read_voc(source: AnnotationSource, faults: Faults) -> DatasetRecord:
    """Read a Pascal VOC folder; an object marked difficult counts as a crowd region, as VOC's own AP ignores it.

    Pixels count from 1 and xmax, ymax are inside the box (VOC2012 development kit, section 5).
    """
    files = _xml_files(source.path)
    photos = [photo for file in files if (photo := _photo(file, faults))]
    root = source.path.parent if source.path.name == "Annotations" else source.path
    return DatasetRecord(source.path, categories_of(photos), tuple(photos), (root / "JPEGImages", files[0].parent))


def _xml_files(folder: Path) -> list[Path]:
    """The XML files of a VOC folder: those in its ``Annotations``, or its own."""
    inner = folder / "Annotations"
    return (list_files(inner, [".xml"]) if inner.is_dir() else []) or list_files(folder, [".xml"])


def _is_voc_file(file: Path) -> bool:
    try:
        return ET.parse(file).getroot().tag == "annotation"
    except (OSError, ET.ParseError):
        return True  # whoever reads it says what is wrong


def _photo(file: Path, faults: Faults) -> PhotoRecord | None:
    try:
        root = ET.parse(file).getroot()
    except (OSError, ET.ParseError) as error:
        faults.add(BAD_FILE, file, detail=f"is not XML: {error}")
        return None
    height, width = (_number(root, f"size/{side}") for side in ("height", "width"))
    objects = [_object(f"object {number}", node) for number, node in enumerate(root.findall("object"), start=1)]
    return PhotoRecord((root.findtext("filename") or "").strip(), file, tuple(objects), (height, width))


def _object(where: str, node: ET.Element) -> ObjectRecord:
    name = (node.findtext("name") or "").strip()
    left, top, right, bottom = (_number(node, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
    difficult = (node.findtext("difficult") or "").strip() == "1"
    return ObjectRecord(where, name, [left - 1, top - 1, right - left + 1, bottom - top + 1], iscrowd=int(difficult))


def _number(node: ET.Element, path: str) -> float:
    """The number of an element, NaN where it is missing or none."""
    try:
        return float(node.findtext(path) or "nan")
    except ValueError:
        return float("nan")

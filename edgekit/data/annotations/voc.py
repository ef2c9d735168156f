"""Pascal VOC folders: one XML file per photo, with boxes only."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from edgekit.data.annotations.dataset import Annotation, Dataset
from edgekit.data.annotations.objects import make_annotation
from edgekit.data.annotations.photo_files import AnnotationFile, dataset_of, find_photo, photo_size
from edgekit.errors import EdgekitError
from edgekit.files.reading import list_files


def xml_files(folder: Path) -> list[Path]:
    """The XML files of a VOC folder: those in its ``Annotations``, or its own."""
    inner = folder / "Annotations"
    return (list_files(inner, [".xml"]) if inner.is_dir() else []) or list_files(folder, [".xml"])


def read_voc(folder: Path, images: Sequence[Path]) -> Dataset:
    """Read a Pascal VOC folder; an object marked difficult counts as a crowd region, as VOC's own AP ignores it.

    Pixels count from 1 and xmax, ymax are inside the box (VOC2012 development kit, section 5).
    """
    places = [place for i in images for place in (i, i / "JPEGImages")]
    return dataset_of(folder, [_read(xml, (*places, xml.parent)) for xml in xml_files(folder)])


def _read(xml: Path, folders: Sequence[Path]) -> AnnotationFile:
    try:
        root = ET.parse(xml).getroot()
    except (OSError, ET.ParseError) as error:
        raise EdgekitError(f"{xml}: is not XML ({error})", "export the annotations again") from None
    path = find_photo((root.findtext("filename") or "").strip(), xml, folders)
    try:
        height, width = (int(float(root.findtext(f"size/{side}") or 0)) for side in ("height", "width"))
        size = (height, width) if height > 0 and width > 0 else photo_size(path)
        objects = [_object(f"{xml}: object {n}", node, size) for n, node in enumerate(root.findall("object"), start=1)]
    except (ValueError, TypeError) as error:
        raise EdgekitError(f"{xml}: is not Pascal VOC ({error})", "export the annotations again") from None
    return xml, path, size, tuple(objects)


def _object(where: str, node: ET.Element, size: tuple[int, int]) -> Annotation:
    name = (node.findtext("name") or "").strip()
    corners = [node.findtext(f"bndbox/{corner}") for corner in ("xmin", "ymin", "xmax", "ymax")]
    if not name or None in corners:
        raise EdgekitError(f"{where}: lacks its name or a side of its bndbox", "annotate it again, or delete it")
    left, top, right, bottom = (float(c or "nan") for c in corners)
    difficult = (node.findtext("difficult") or "").strip() == "1"
    box = (left - 1, top - 1, right - left + 1, bottom - top + 1)
    return make_annotation(where, name, size, box, iscrowd=difficult)

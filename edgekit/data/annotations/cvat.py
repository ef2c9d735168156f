"""CVAT's own XML, "CVAT for images 1.1": https://docs.cvat.ai/docs/other/xml_format."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.data.annotations.annotation_records import DatasetRecord, ObjectRecord, PhotoRecord, categories_of
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.drawn_shapes import (
    checked_size,
    ellipse_outline,
    enclosing_box,
    flattened,
    rectangle_outline,
    rle_of_patch,
)
from edgekit.data.annotations.fault_kinds import Unusable
from edgekit.data.annotations.faults import Faults
from edgekit.data.annotations.numbers_given import as_numbers, given_number, whole_number
from edgekit.data.annotations.safe_xml import read_xml, root_tag
from edgekit.data.annotations.shapes import NO_AREA, UNKNOWN_SHAPE, one_class, read_shapes
from edgekit.errors import EdgekitError
from edgekit.files.reading import list_files

NEWEST = (1, 1)
WITHOUT_AREA = ("polyline", "points", "skeleton", "cuboid")
OF_PHOTO = ("tag", "attribute")  # say something of the whole photo


def is_cvat(source: AnnotationSource) -> bool:
    """Whether a file, or a file in a folder, is XML of CVAT."""
    return bool(_files(source.path))


def read_cvat(source: AnnotationSource, faults: Faults) -> DatasetRecord:
    """Read XML of CVAT: boxes are boxes (a turned one, the box around it), polygons, ellipses and masks are masks."""
    files = _files(source.path)
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise EdgekitError(f"{source.path}: holds {len(files)} files of annotations: {names}", "give one of them")
    (file,) = files
    root = read_xml(file)
    _check_version(file, root)
    photos = tuple(_photo(file, image, faults) for image in root.iterfind("image"))
    # Labels of a skeleton's points have a parent.
    labels = [label for label in root.iterfind("meta//labels/label") if label.find("parent") is None]
    listed = [(label.findtext("name") or "").strip() for label in labels]
    used = categories_of(photos)
    names_in_order = tuple(dict.fromkeys(name for name in (*listed, *used) if name))
    return DatasetRecord(file, names_in_order, photos, (file.parent / "images", file.parent))


def _files(path: Path) -> list[Path]:
    listed = list_files(path, [".xml"]) if path.is_dir() else [path] if path.suffix.lower() == ".xml" else []
    return [file for file in listed if root_tag(file) == "annotations"]


def _check_version(file: Path, root: ET.Element) -> None:
    if root.find("track") is not None:
        raise EdgekitError(
            f"{file}: is CVAT for video, which describes tracks, not photos",
            'export the task as "CVAT for images 1.1" or as COCO',
        )
    version = (root.findtext("version") or "").strip()
    numbers = tuple(int(part) for part in version.split(".") if part.isdecimal())
    if numbers > NEWEST:
        raise EdgekitError(
            f"{file}: is of version {version} of CVAT's format, edgekit reads those up to 1.1", "export it as COCO"
        )


def _photo(file: Path, image: ET.Element, faults: Faults) -> PhotoRecord:
    name = image.get("name") or ""
    size = whole_number(image.get("height")), whole_number(image.get("width"))
    shapes = [(f"{name}, {node.tag} {n}", node) for n, node in enumerate(image, start=1) if node.tag not in OF_PHOTO]

    def read(where: str, node: ET.Element) -> ObjectRecord:
        return _object(where, node, size)

    return PhotoRecord(name, file, read_shapes(shapes, read, file, faults), size)


def _object(where: str, node: ET.Element, size: tuple[Any, Any]) -> ObjectRecord:
    if node.tag in WITHOUT_AREA:
        raise Unusable(NO_AREA, node.tag)
    category = one_class([node.get("label") or ""])
    degrees = given_number(node.get("rotation") or 0)
    if node.tag == "box":
        left, top, right, bottom = _numbers(node, "xtl", "ytl", "xbr", "ybr")
        box = [left, top, right - left, bottom - top]
        if degrees:
            box = enclosing_box(rectangle_outline(box, ((left + right) / 2, (top + bottom) / 2), degrees))
        return ObjectRecord(where, category, box)
    if node.tag == "polygon":
        outline = flattened([point.split(",") for point in node.attrib["points"].split(";")])
    elif node.tag == "ellipse":
        x, y, rx, ry = _numbers(node, "cx", "cy", "rx", "ry")
        outline = ellipse_outline((x, y), (rx, ry), degrees)
    elif node.tag == "mask":
        return ObjectRecord(where, category, rle=_mask(node, checked_size(*size)))
    else:
        raise Unusable(UNKNOWN_SHAPE, node.tag)
    return ObjectRecord(where, category, polygons=[outline])


def _mask(node: ET.Element, size: tuple[int, int]) -> dict[str, Any]:
    """COCO RLE of a mask: its runs go along the rows of its own rectangle, the first one is not the object."""
    left, top, width, height = (int(number) for number in _numbers(node, "left", "top", "width", "height"))
    shape = checked_size(height, width)
    runs = as_numbers(node.attrib["rle"].split(","), lambda _: None).astype(int)
    if min(runs) < 0 or sum(runs) != width * height:
        raise ValueError(f"its RLE is of {sum(runs)} pixels, its rectangle of {width}x{height}")
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(shape)
    return rle_of_patch(pixels, top, left, size)


def _numbers(node: ET.Element, *names: str) -> list[float]:
    return [given_number(node.attrib[name]) for name in names]

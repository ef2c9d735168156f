"""VIA, the VGG Image Annotator: JSON projects of versions 1 to 3, and the annotations that versions 1 and 2 export.

Written after https://gitlab.com/vgg/via/-/blob/master/via-2.x.y/CodeDoc.md and via-3.x.y/CodeDoc.md beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.data.annotations.annotation_records import DatasetRecord, ObjectRecord, PhotoRecord, categories_of
from edgekit.data.annotations.annotation_source import AnnotationSource
from edgekit.data.annotations.drawn_shapes import ellipse_outline, flattened
from edgekit.data.annotations.fault_kinds import Unusable
from edgekit.data.annotations.faults import Faults
from edgekit.data.annotations.numbers_given import given_number
from edgekit.data.annotations.shapes import NO_AREA, UNKNOWN_SHAPE, one_class, read_shapes
from edgekit.data.annotations.single_files import holds_document, single_document
from edgekit.errors import EdgekitError

NEWEST = 3
PARTS_2 = ("shape_attributes", "region_attributes")
CHECKBOX_3 = 2  # version 3's number of this kind of attribute
# Version 3 writes a region as its shape's number and these values; a polygon's are x, y, x, y, ...
SHAPES_3 = {
    1: ("point", ("cx", "cy")),
    2: ("rect", ("x", "y", "width", "height")),
    3: ("circle", ("cx", "cy", "r")),
    4: ("ellipse", ("cx", "cy", "rx", "ry")),
    5: ("line", ()),
    6: ("polyline", ()),
    7: ("polygon", ()),
    8: ("rect", ("x", "y", "width", "height")),  # drawn by its extreme points
    9: ("circle", ("cx", "cy", "r")),
}


@dataclass(frozen=True)
class _Region:
    """A region as version 2 writes it; ``attributes`` are its names and values."""

    where: str
    shape: Mapping[str, Any]
    attributes: Mapping[str, Any]


def is_via(source: AnnotationSource) -> bool:
    """Whether a file, or a file in a folder, is JSON of VIA."""
    return holds_document(source, _is_document)


def read_via(source: AnnotationSource, faults: Faults) -> DatasetRecord:
    """Read JSON of VIA: rectangles are boxes, polygons, circles and ellipses are masks.

    The class is the region attribute that there is only one of, or only one of that all regions have.
    """
    file, document = single_document(source, _is_document)
    _check_version(file, document)
    try:
        third = "metadata" in document
        listed = _regions_3(document) if third else _regions_2(document.get("_via_img_metadata", document))
        options = _options_3(document) if third else _options_2(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EdgekitError(
            f"{file}: is not as VIA writes it ({type(error).__name__}: {error})", "export the annotations again"
        ) from None
    attribute = _class_attribute(file, [region for _, regions in listed for region in regions])

    def read(where: str, region: _Region) -> ObjectRecord:
        return _object(where, region, attribute, options.get(attribute, {}))

    photos = tuple(
        PhotoRecord(name, file, read_shapes(((r.where, r) for r in regions), read, file, faults))
        for name, regions in listed
    )
    return DatasetRecord(file, categories_of(photos), photos, (file.parent,))


def _is_document(document: Any) -> bool:
    if not isinstance(document, dict) or not document:
        return False
    if "_via_img_metadata" in document or {"project", "file", "view", "metadata"} <= document.keys():
        return True
    return all(isinstance(v, dict) and "filename" in v and "regions" in v for v in document.values())


def _check_version(file: Path, document: Mapping[str, Any]) -> None:
    project = document.get("project")
    third = project.get("data_format_version") if isinstance(project, dict) else None
    version = str(document.get("_via_data_format_version") or third or "")
    if version.split(".")[0].isdecimal() and int(version.split(".")[0]) > NEWEST:
        raise EdgekitError(
            f"{file}: is of version {version} of VIA's format, edgekit reads those up to {NEWEST}",
            "export COCO JSON from VIA instead",
        )


def _regions_2(images: Mapping[str, Any]) -> list[tuple[str, list[_Region]]]:
    """The photos' names and regions of versions 1 and 2; version 1 numbers the regions in a mapping."""
    listed = []
    for image in images.values():
        regions = image["regions"]
        numbered = regions.items() if isinstance(regions, dict) else enumerate(regions)
        name = str(image["filename"])
        listed.append((name, [_region_2(f"{name}, region {n}", region) for n, region in numbered]))
    return listed


def _region_2(where: str, region: Any) -> _Region:
    shape, attributes = (region.get(key) if isinstance(region, dict) else None for key in PARTS_2)
    return _Region(where, shape or {}, attributes if isinstance(attributes, dict) else {})


def _regions_3(document: Mapping[str, Any]) -> list[tuple[str, list[_Region]]]:
    """The photos' names and regions of version 3: a view shows files, metadata belong to a view."""
    names = {str(key): str(file["fname"]) for key, file in document["file"].items()}
    views = {str(key): [str(f) for f in view["fid_list"]] for key, view in document["view"].items()}
    kinds = {str(key): attribute for key, attribute in document["attribute"].items()}
    regions: dict[str, list[_Region]] = {file: [] for files in views.values() for file in files}
    for key, entry in document["metadata"].items():
        files = views[str(entry["vid"])]
        if entry.get("xy") and len(files) == 1:  # others describe a stretch of time, or several photos at once
            attributes = {kinds[a]["aname"]: _value_3(v, kinds[a]) for a, v in entry["av"].items() if a in kinds}
            where = f"{names[files[0]]}, region {key}"
            regions[files[0]].append(_Region(where, _shape_3(entry["xy"]), attributes))
    return [(names[file], found) for file, found in regions.items()]


def _value_3(value: Any, attribute: Mapping[str, Any]) -> Any:
    """An attribute's value as version 2 has it; of a checkbox, version 3 joins the options that are on by commas."""
    return dict.fromkeys(str(value).split(","), True) if attribute.get("type") == CHECKBOX_3 and value else value


def _shape_3(numbers: Sequence[Any]) -> dict[str, Any]:
    name, keys = SHAPES_3.get(int(numbers[0]), (f"shape {numbers[0]}", ()))
    values = list(numbers[1:])
    if name == "polygon":
        return {"name": name, "all_points_x": values[0::2], "all_points_y": values[1::2]}
    return {"name": name} | dict(zip(keys, values, strict=False))


def _options_2(document: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What numbered options of the attributes stand for; other options are named by themselves."""
    attributes = (document.get("_via_attributes") or {}).get("region") or {}
    return {
        name: {key: text for key, text in (a.get("options") or {}).items() if str(key).isdecimal() and text}
        for name, a in attributes.items()
    }


def _options_3(document: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {a["aname"]: a.get("options") or {} for a in document["attribute"].values()}


def _class_attribute(file: Path, regions: Sequence[_Region]) -> str:
    """The attribute that names the classes."""
    counts: dict[str, int] = {}
    for region in regions:
        for name, value in region.attributes.items():
            counts[name] = counts.get(name, 0) + bool(value)
    given = [name for name, count in counts.items() if count]
    complete = [name for name in given if counts[name] == len(regions)]
    for names in (given, complete):
        if len(names) == 1:
            return names[0]
    if not given:
        return ""
    raise EdgekitError(
        f"{file}: its regions have the attributes {', '.join(given)}; it does not say which is the class",
        "delete the others in VIA, or fill in only that of the class for every region",
    )


def _object(where: str, region: _Region, attribute: str, options: Mapping[str, str]) -> ObjectRecord:
    value = region.attributes.get(attribute) or ""
    chosen = [name for name, on in value.items() if on] if isinstance(value, dict) else [value]
    category = one_class(options.get(str(name), str(name)) for name in chosen)
    shape = region.shape
    kind = shape["name"]
    if kind == "rect":
        return ObjectRecord(where, category, [given_number(shape[key]) for key in ("x", "y", "width", "height")])
    if kind == "polygon":
        xs, ys = shape["all_points_x"], shape["all_points_y"]
        if len(xs) != len(ys):
            raise ValueError(f"its points have {len(xs)} x and {len(ys)} y")
        outline = flattened(list(zip(xs, ys, strict=True)))
    elif kind in ("circle", "ellipse"):
        radii = ("r", "r") if kind == "circle" else ("rx", "ry")
        centre = given_number(shape["cx"]), given_number(shape["cy"])
        turn = math.degrees(given_number(shape.get("theta") or 0))
        outline = ellipse_outline(centre, (given_number(shape[radii[0]]), given_number(shape[radii[1]])), turn)
    else:
        raise Unusable(NO_AREA if kind in ("point", "line", "polyline") else UNKNOWN_SHAPE, str(kind))
    return ObjectRecord(where, category, polygons=[outline])

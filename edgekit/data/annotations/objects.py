"""The annotated objects of one photo: boxes and masks are checked, repaired, clipped to the photo and encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from edgekit.data.annotations import fault_kinds as kinds
from edgekit.data.annotations.annotation_records import ObjectRecord, PhotoRecord
from edgekit.data.annotations.box_fit import box_fits
from edgekit.data.annotations.dataset import Annotation
from edgekit.data.annotations.drawn_shapes import rle_of_patch
from edgekit.data.annotations.fault_kinds import Unusable
from edgekit.data.annotations.faults import FaultKind, Faults
from edgekit.data.annotations.numbers_given import Report, as_number, flag, short
from edgekit.data.annotations.outlines import Outlines, Rle, as_text, check_near, mask_areas, read_polygon, read_rle

Box = tuple[float, float, float, float]  # x, y, w, h


@dataclass(frozen=True)
class Judged:
    """An object that can be used, where it stands, and what its box and its mask were before they were clipped."""

    annotation: Annotation
    file: Path
    where: str
    size: tuple[int, int]  # (height, width) of the photo
    box: Box | None  # as given
    mask_box: Box | None
    is_rle: bool = False
    is_fractions: bool = False  # whether the file gives fractions of the photo, and boxes by their centre, as YOLO does


@dataclass
class _Draft:
    """An object whose numbers are numbers."""

    record: ObjectRecord
    report: Report
    box: Box | None
    polygons: Sequence[np.ndarray]
    rle: Rle | None
    iscrowd: bool
    is_degenerate: bool  # some polygon has fewer than 3 points


def judge_objects(photo: PhotoRecord, size: tuple[int, int], faults: Faults) -> list[Judged]:
    """The usable objects of a photo of ``size`` (height, width), each once; what is wrong goes to the faults."""
    drafts: list[_Draft] = []
    for record in photo.objects:
        report = partial(faults.add, file=photo.named_in, where=record.where)
        try:
            drafts.append(_draft(record, size, photo.fractions, _once(report), faults.options.crowd_as_objects))
        except Unusable as error:
            report(error.kind, detail=error.detail)
    masks, dropped = _masks(drafts, size)
    known = [mask for mask in masks if mask is not None]
    boxes = iter(coco_mask.toBbox(known).tolist() if known else ())
    areas = iter(mask_areas(known).tolist())
    judged: dict[tuple[object, ...], Judged] = {}
    for draft, mask, has_dropped in zip(drafts, masks, dropped, strict=True):
        measured = None if mask is None else (as_text(mask), tuple(next(boxes)), next(areas))
        try:
            annotation = _annotation(draft, measured, has_dropped, size)
        except Unusable as error:
            faults.add(error.kind, photo.named_in, draft.record.where, error.detail)
            continue
        key = (annotation.category, annotation.bbox, mask and mask["counts"], annotation.iscrowd)
        if key in judged:
            draft.report(kinds.DUPLICATE)
            continue
        given = None if has_dropped or not _has_size(draft.box) else draft.box
        mask_box = None if measured is None else measured[1]
        where = draft.record.where
        judged[key] = Judged(
            annotation, photo.named_in, where, size, given, mask_box, draft.rle is not None, photo.fractions
        )
    return list(judged.values())


def _once(report: Report) -> Report:
    """``report`` that notes each kind of repair of an object once, however many of its numbers need it."""
    noted: set[FaultKind] = set()

    def note(kind: FaultKind) -> None:
        if kind not in noted:
            noted.add(kind)
            report(kind)

    return note


def _draft(record: ObjectRecord, size: tuple[int, int], fractions: bool, report: Report, crowds: bool) -> _Draft:
    scale = (float(size[1]), float(size[0])) if fractions else (1.0, 1.0)
    if not record.category:
        raise Unusable(kinds.NO_NAME)
    box = None
    if record.box is not None:
        box = _read_box(record.box, scale, report)
        check_near(box, size)
    polygons = [read_polygon(polygon, scale, size, report) for polygon in record.polygons]
    outlined = [polygon for polygon in polygons if len(polygon) >= 3]
    rle = None if record.rle is None else read_rle(record.rle, size)
    if box is None and rle is None and not outlined and not record.patches:
        raise Unusable(kinds.NO_SHAPE if not polygons else kinds.EMPTY_MASK)
    iscrowd = flag(record.iscrowd, report)
    if iscrowd and crowds:
        report(kinds.CROWD_TAKEN)
        iscrowd = False
    return _Draft(record, report, box, outlined, rle, iscrowd, len(outlined) < len(polygons))


def _read_box(values: Any, scale: tuple[float, float], report: Report) -> Box:
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 4:
        raise Unusable(kinds.NOT_NUMBERS, f"its box is {short(values)}")
    x, y, w, h = (as_number(value, report) for value in values)
    return x * scale[0], y * scale[1], w * scale[0], h * scale[1]


def _masks(drafts: Sequence[_Draft], size: tuple[int, int]) -> tuple[list[Rle | None], list[bool]]:
    """Each object's mask, None where it has none, and whether parts of it were dropped."""
    outlines = Outlines([polygon for draft in drafts for polygon in draft.polygons], size)
    masks: list[Rle | None] = []
    dropped = []
    first = 0
    for draft in drafts:
        own = range(first, first + len(draft.polygons))
        first = own.stop
        if any(outlines.crosses[i] for i in own):
            draft.report(kinds.CROSSING)
        parts = [outlines.drawn[i] for i in own if not outlines.is_empty[i]]
        is_degenerate = draft.is_degenerate or len(parts) < len(own)
        parts += [rle_of_patch(p.pixels, p.top, p.left, size) for p in draft.record.patches]
        parts += [] if draft.rle is None else [draft.rle]
        if is_degenerate and (parts or draft.box is not None):
            draft.report(kinds.DEGENERATE_PART if parts else kinds.NO_OUTLINE)
        dropped.append(is_degenerate)
        masks.append(parts[0] if len(parts) == 1 else coco_mask.merge(parts) if parts else None)
    return masks, dropped


def _annotation(
    draft: _Draft, mask: tuple[Rle, Box, int] | None, has_dropped: bool, size: tuple[int, int]
) -> Annotation:
    """The object clipped to its photo; ``mask`` is with its box and its number of pixels."""
    box, report = draft.box, draft.report
    if mask is None:
        if box is None:
            raise Unusable(kinds.EMPTY_MASK)
        if not _has_size(box):
            raise Unusable(kinds.EMPTY_BOX, f"{box[2]:g}x{box[3]:g} pixels")
    else:
        if not mask[2]:
            small = draft.polygons and max(polygon.max() for polygon in draft.polygons) <= 1
            raise Unusable(kinds.EMPTY_MASK, "all lies between 0 and 1, as fractions of the photo do" if small else "")
        fitting = _has_size(box) and (not has_dropped or bool(box_fits(np.array([box]), np.array([mask[1]]))[0]))
        if not fitting:
            if box is not None:
                report(kinds.NOT_THE_BOX)
            only_polygons = draft.polygons and draft.rle is None and not draft.record.patches
            box = _extent(draft.polygons) if only_polygons and not has_dropped else mask[1]
    assert box is not None
    clipped = _clip(box, size)
    is_cut = clipped != box and max(abs(a - b) for a, b in zip(box, clipped, strict=True)) > 1  # by more than rounding
    if is_cut:
        report(kinds.CLIPPED)
    area = 0.0 if is_cut else _area(draft)
    if not area:
        area = float(clipped[2] * clipped[3] if mask is None else mask[2])
    return Annotation(draft.record.category, clipped, area, None if mask is None else mask[0], draft.iscrowd)


def _extent(polygons: Sequence[np.ndarray]) -> Box:
    """The box of the points, which is finer than that of the pixels."""
    points = np.concatenate(polygons)
    (x, y), (w, h) = points.min(axis=0).tolist(), np.ptp(points, axis=0).tolist()
    return x, y, w, h


def _area(draft: _Draft) -> float:
    """The area that the file gives, 0 where it gives none."""
    if draft.record.area is None:
        return 0.0
    try:
        found = as_number(draft.record.area, draft.report)
    except Unusable:
        found = -1.0
    if found < 0:
        draft.report(kinds.AREA)
    return max(found, 0.0)


def _clip(box: Box, size: tuple[int, int]) -> Box:
    x, y, w, h = box
    height, width = size
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        rounded = [round(v, 1) for v in (x, y, w, h)]
        raise Unusable(kinds.OUTSIDE, f"its box is {rounded}, the photo {width}x{height} pixels")
    left, top = max(x, 0.0), max(y, 0.0)
    inside = left == x and x + w <= width, top == y and y + h <= height  # then its numbers stay as they are
    return left, top, w if inside[0] else min(x + w, width) - left, h if inside[1] else min(y + h, height) - top


def _has_size(box: Box | None) -> bool:
    return box is not None and box[2] > 0 and box[3] > 0

"""From what annotation files say to a dataset: photos are found, and every object is judged, repaired and clipped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgekit.data.annotations.annotation_records import DatasetRecord
from edgekit.data.annotations.box_fit import (
    MOST_DECODED,
    box_fits,
    likely_corners,
    likely_layout,
    likely_layout_without_masks,
    row_by_row,
)
from edgekit.data.annotations.dataset import Dataset, Photo
from edgekit.data.annotations.fault_kinds import MISFIT
from edgekit.data.annotations.faults import REFUSED, REPAIRED, Faults
from edgekit.data.annotations.objects import Judged, judge_objects
from edgekit.data.annotations.photo_files import UNTURNED, LocatedPhoto, locate_photos
from edgekit.errors import EdgekitError

BEYOND = 1.05  # times the photo's side, that boxes reach in a photo that they were not drawn on


def build_dataset(record: DatasetRecord, folders: tuple[Path, ...], faults: Faults) -> Dataset:
    """The dataset of what can be used; all else is in ``faults``, which also says what to tolerate."""
    listed = [item for photo in record.photos for item in photo.objects]
    if not listed and len(faults.found) == len(faults.treated(REPAIRED)):
        raise EdgekitError(f"{record.file}: holds no annotations", "annotate at least one object of each class")
    located = locate_photos(record, folders, faults)
    judged = [judge_objects(photo.record, photo.size, faults) for photo in located]
    flat = [item for items in judged for item in items]
    if unturned := sum(map(_is_unturned, located)):
        faults.causes.append(f"{record.file}: {unturned} {UNTURNED}")
    misfits = _misfits(record.file, [item for item in flat if item.box and item.mask_box], faults)
    _check_boxes_alone(record.file, [item for item in flat if item.box and not item.mask_box], faults)
    if flat and all(item.annotation.iscrowd for item in flat):
        faults.causes.append(
            f"{record.file}: all {len(flat)} objects are marked iscrowd, so none counts as an object: give "
            "--crowd-as-objects if the tool marks so what is drawn with a brush"
        )
    photos = tuple(
        Photo(number, photo.path, *photo.size, tuple(item.annotation for item in items if id(item) not in misfits))
        for number, (photo, items) in enumerate(zip(located, judged, strict=True), start=1)
    )
    if not any(photo.annotations for photo in photos) and not faults.treated(REFUSED):
        faults.causes.append(f"{record.file}: nothing that it annotates can be used")
    return Dataset(record.file, record.categories, photos)


def _is_unturned(photo: LocatedPhoto) -> bool:
    """Whether the boxes of a photo whose size is not listed leave the photo, and would not if it were not turned."""
    is_listed = photo.record.size not in (None, (None, None))  # then the sizes were compared
    if not photo.on_its_side or is_listed or photo.record.fractions:
        return False
    found = [item.box for item in photo.record.objects if item.box is not None and len(item.box) == 4]
    try:
        boxes = np.array(found, np.float64).reshape(-1, 4)
    except (TypeError, ValueError):  # some are no numbers, which is said of them
        return False
    if not len(boxes):
        return False
    width, height = (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
    leaves = width > photo.size[1] * BEYOND or height > photo.size[0] * BEYOND
    return bool(leaves and width <= photo.size[0] + 1 and height <= photo.size[1] + 1)


def _misfits(file: Path, items: Sequence[Judged], faults: Faults) -> set[int]:
    """The ids of the items whose boxes are not those of their masks, after noting them and their likely cause."""
    if not items:
        return set()
    boxes, masks, sizes = _arrays(items)
    layout = likely_layout(boxes, masks, sizes)
    if layout:
        faults.causes.append(f"{file}: {layout}: write boxes as x, y, width, height in pixels")
    clipped = np.array([item.annotation.bbox for item in items])
    wrong = [item for item, is_fit in zip(items, box_fits(clipped, masks), strict=True) if not is_fit]
    for item in wrong:
        detail = f"its box is {_text(item.box)}, its mask's {_text(item.mask_box)}"
        faults.add(MISFIT, item.file, item.where, detail)
    tried = [item for item in wrong if item.is_rle][:MOST_DECODED]
    transposed = sum(_fits_row_by_row(item) for item in tried)
    if transposed * 2 > len(tried):
        faults.causes.append(
            f"{file}: {transposed} of {len(tried)} masks fit their boxes if their RLE is read row by row: write it "
            "column by column, as pycocotools does"
        )
    return {id(item) for item in wrong}


def _check_boxes_alone(file: Path, items: Sequence[Judged], faults: Faults) -> None:
    if items:
        boxes, _, sizes = _arrays(items)
        if all(item.is_fractions for item in items):
            if layout := likely_corners(boxes, sizes):
                faults.causes.append(f"{file}: {layout}: write boxes as centre x, centre y, width, height")
        elif layout := likely_layout_without_masks(boxes, sizes):
            faults.causes.append(f"{file}: {layout}: write boxes as x, y, width, height in pixels")


def _arrays(items: Sequence[Judged]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, masks' boxes [N, 4] and photos' (width, height) [N, 2]."""
    boxes = np.array([item.box for item in items])
    masks = np.array([item.mask_box or (0, 0, 0, 0) for item in items])
    sizes = np.array([item.size[::-1] for item in items])
    return boxes, masks, sizes


def _fits_row_by_row(item: Judged) -> bool:
    segmentation = item.annotation.segmentation
    assert segmentation is not None
    return bool(box_fits(np.array([item.box]), row_by_row(segmentation["counts"], item.size))[0])


def _text(box: Sequence[float] | None) -> str:
    return f"[{', '.join(f'{value:g}' for value in np.round(box or (), 1))}]"

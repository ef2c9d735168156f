"""The photos of a set: where each one's file is, and how large it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.data.annotations.annotation_records import DatasetRecord, PhotoRecord
from edgekit.data.annotations.fault_kinds import (
    AMBIGUOUS,
    ANNOTATED_TWICE,
    MISSING,
    OTHER_SIZE,
    SIZE_UNKNOWN,
    TEXT,
    UNREADABLE,
)
from edgekit.data.annotations.faults import Faults
from edgekit.data.annotations.numbers_given import whole_number
from edgekit.data.annotations.photo_search import find_photos
from edgekit.data.images import opened_image, orientation
from edgekit.errors import EdgekitError

Size = tuple[int, int]  # (height, width)
UNTURNED = (
    "photos are annotated as they are stored, not as their EXIF orientation turns them: save the photos turned, "
    "without the EXIF tag, and annotate those"
)


@dataclass(frozen=True)
class LocatedPhoto:
    """A photo with its file and the size that ``read_image`` gives it."""

    record: PhotoRecord
    path: Path
    size: Size
    on_its_side: bool = False  # as its EXIF orientation says; ``size`` is that of the photo turned


def photo_size(path: Path) -> Size:
    """(height, width) of a photo as ``read_image`` returns it, from the file's header."""
    return header(path)[0]


def header(path: Path) -> tuple[Size, bool]:
    """``photo_size``, and whether the file stores the photo on its side."""
    with opened_image(path) as image:
        if image.format == "TIFF":  # which Pillow turns by itself when it reads the pixels
            image.load()
        on_its_side = orientation(image) >= 5
        width, height = image.size
    return ((width, height) if on_its_side else (height, width)), on_its_side


def locate_photos(record: DatasetRecord, folders: Sequence[Path], faults: Faults) -> list[LocatedPhoto]:
    """The photos whose files are there, readable and of the size that is listed; what is wrong goes to the faults."""
    named = [photo for photo in record.photos if photo.path is None]
    names = [photo.name or photo.named_in.stem for photo in named]
    found = dict(zip(map(id, named), find_photos(names, (*folders, *record.folders)), strict=True)) if named else {}
    paths = [photo.path or found[id(photo)] for photo in record.photos]
    shared = {path for path, count in Counter(paths).items() if count > 1}
    located: list[LocatedPhoto] = []
    unturned = 0
    for photo, path in zip(record.photos, paths, strict=True):
        if not isinstance(path, Path):
            faults.add(AMBIGUOUS if path.several else MISSING, photo.named_in, photo.name, path.detail)
        elif path in shared:
            faults.add(ANNOTATED_TWICE, photo.named_in, photo.name, f"the file is {path.name}")
        else:
            try:
                size, on_its_side = header(path)
            except EdgekitError as error:
                faults.add(UNREADABLE, path, detail=error.message.removeprefix(f"{path}: "))
                continue
            if _is_of_size(photo, path, size, faults):
                located.append(LocatedPhoto(photo, path, size, on_its_side))
            else:
                unturned += on_its_side and photo.size == size[::-1]
    if unturned:
        faults.causes.append(f"{record.file}: {unturned} {UNTURNED}")
    return located


def _is_of_size(photo: PhotoRecord, path: Path, size: Size, faults: Faults) -> bool:
    """Whether a photo's listed size, if it is one, is its file's."""
    if photo.size is None:
        return True
    height, width = map(whole_number, photo.size)
    if height is None or width is None:
        faults.add(SIZE_UNKNOWN, photo.named_in, photo.name)
        return True
    if any(isinstance(value, str) for value in photo.size):
        faults.add(TEXT, photo.named_in, photo.name)
    if (height, width) == size:
        return True
    exchanged = ", width and height are exchanged" if (width, height) == size else ""
    detail = f"{path} is {size[1]}x{size[0]} pixels, its annotations say {width}x{height}{exchanged}"
    faults.add(OTHER_SIZE, photo.named_in, photo.name, detail)
    return False

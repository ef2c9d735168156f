"""The rows of YOLO's label files: boxes and polygons, told from poses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from edgekit.data.annotations.annotation_records import ObjectRecord
from edgekit.data.annotations.fault_kinds import BAD_ROW, NOT_NUMBERS, POSE, UNKNOWN_CATEGORY, Unusable
from edgekit.data.annotations.faults import Faults
from edgekit.errors import EdgekitError
from edgekit.files.reading import read_text

VISIBILITY = (0, 1, 2)  # of a keypoint: not labelled, hidden, seen


def read_rows(
    file: Path, lines: Sequence[str], names: dict[int, str], keypoint_numbers: int, faults: Faults
) -> tuple[ObjectRecord, ...]:
    """The objects of a label file, in fractions of the photo; ``keypoint_numbers`` is how many numbers a row of the
    dataset has for keypoints, 0 if its data.yaml names none."""
    objects = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"line {number}"
            try:
                objects.append(_object(where, line.split(), names, keypoint_numbers))
            except Unusable as error:
                faults.add(error.kind, file, where, error.detail)
    return tuple(objects)


def holds_rows(file: Path) -> bool:
    """Whether a text file begins with a row: the number of a class and 4 numbers or more."""
    try:
        words = next((line.split() for line in read_text(file).splitlines() if line.strip()), [])
        return len(words) > 4 and all(math.isfinite(float(word)) for word in words)
    except (OSError, ValueError, EdgekitError):
        return False


def _object(where: str, words: list[str], names: dict[int, str], keypoint_numbers: int) -> ObjectRecord:
    try:
        number, *values = map(float, words)
    except ValueError:
        raise Unusable(NOT_NUMBERS, " ".join(words)[:60]) from None
    if number not in names:
        raise Unusable(UNKNOWN_CATEGORY, f"class {words[0]}; data.yaml's are {min(names)} to {max(names)}")
    if _is_pose(values, keypoint_numbers):
        raise Unusable(POSE)
    if len(values) < 4 or len(values) % 2:
        raise Unusable(BAD_ROW, f"it has {len(values)}")
    name = names[int(number)]
    if len(values) > 4:
        return ObjectRecord(where, name, polygons=[values])
    x, y, w, h = values  # of the centre
    return ObjectRecord(where, name, [x - w / 2, y - h / 2, w, h])


def _is_pose(values: list[float], keypoint_numbers: int) -> bool:
    """Whether a row is a box and keypoints: as data.yaml says, or by visibilities and points that the box holds."""
    if keypoint_numbers:
        return len(values) == 4 + keypoint_numbers
    points = [values[first : first + 3] for first in range(4, len(values), 3)]
    if not points or len(points[-1]) < 3 or any(visibility not in VISIBILITY for _, _, visibility in points):
        return False
    x, y, w, h = values[:4]
    seen = [point for point in points if point[2]]
    return all(abs(px - x) <= w * 0.6 and abs(py - y) <= h * 0.6 for px, py, _ in seen)

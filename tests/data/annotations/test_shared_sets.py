"""Every real set at hand is read as it is, by everything that reads annotations."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.data.annotations.formats import read_dataset

SHARED = Path(__file__).parents[4] / "shared"
FILES = {
    "photos/instances_train.json": 80,
    "photos/instances_val.json": 79,
    "real/chickens/chickens_test.json": 46,
    "real/chickens/chickens_train.json": 58,
    "real/everyday/instances_train.json": 2030,
    "real/everyday/instances_val.json": 615,
    "real/frogs/frogs_test.json": 90,
    "real/frogs/frogs_train.json": 90,
    "real/microcontrollers/test.json": 15,
    "real/microcontrollers/train.json": 120,
    "real/microcontrollers/val.json": 15,
}


@pytest.mark.parametrize("name", FILES)
def test_real_annotations_are_read(name: str) -> None:
    file = SHARED / name
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    dataset = read_dataset(file, file.parent / "images")
    assert len(dataset.photos) == FILES[name]
    assert any(photo.annotations for photo in dataset.photos)

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from edgekit.data.annotations.dataset import Dataset
from edgekit.data.annotations.formats import read_dataset
from edgekit.errors import EdgekitError

SQUARE = [10, 10, 20, 10, 20, 20, 10, 20]
MASK = np.zeros((40, 60), np.uint8)
MASK[10:20, 10:20] = 1
ENCODED = coco_mask.encode(np.asfortranarray(MASK))
COUNTS = [10 * 40 + 10] + [10, 30] * 9 + [10, 40 * 60 - (10 * 40 + 10) - 9 * 40 - 10]


def read(tmp_path: Path, segmentation: Any) -> Dataset:
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    document = {
        "images": [{"id": 7, "file_name": "a.png", "height": 40, "width": 60}],
        "categories": [{"id": 5, "name": "frog"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 5, "bbox": [10, 10, 10, 10], "segmentation": segmentation}
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(document))
    return read_dataset(tmp_path / "a.json", tmp_path)


@pytest.mark.parametrize(
    "segmentation",
    [
        [SQUARE],
        [[10, 10, 15, 10, 15, 20, 10, 20], [15, 10, 20, 10, 20, 20, 15, 20]],
        {"size": [40, 60], "counts": COUNTS},
        {"size": [40, 60], "counts": ENCODED["counts"].decode()},
    ],
    ids=["polygon", "two polygons", "counts", "compressed"],
)
def test_every_way_to_write_a_mask(segmentation: Any, tmp_path: Path) -> None:
    (item,) = read(tmp_path, segmentation).photos[0].annotations
    assert np.array_equal(item.mask(), MASK.astype(bool))
    assert item.area == 100


def test_photo_of_another_size_is_named(tmp_path: Path) -> None:
    dataset = read(tmp_path, [SQUARE])
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    with pytest.raises(EdgekitError, match="30x20 pixels, its annotations say 60x40"):
        dataset.photos[0].read()

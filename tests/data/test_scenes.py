from __future__ import annotations

import numpy as np
import pytest

from edgekit.data.coco import read_dataset
from edgekit.data.demo_sets import write_demo_set
from edgekit.data.scenes import BASE_CLASSES, NEW_CLASSES, SPLITS, render_scene


def test_same_seed_same_scene() -> None:
    first, second, other = (render_scene("mixed-test", 3, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.image, second.image)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("split", SPLITS)
def test_scene_annotates_visible_objects_of_its_set(split: str) -> None:
    allowed = {"base-train": BASE_CLASSES, "base-test": BASE_CLASSES, "new-train": NEW_CLASSES}
    for index in range(12):
        scene = render_scene(split, index)
        assert scene.image.shape == (320, 320, 3)
        assert {o.category for o in scene.objects} <= set(allowed.get(split, BASE_CLASSES + NEW_CLASSES))
        masks = [o.mask for o in scene.objects]
        assert all(m.sum() > 30 for m in masks)
        assert not masks or np.sum(masks, axis=0).max() <= 1, "visible masks overlap"


def test_written_set_reads_back(tmp_path) -> None:  # type: ignore[no-untyped-def]
    written = write_demo_set("mixed-test", 4, tmp_path)
    assert read_dataset(written.file, tmp_path) == written

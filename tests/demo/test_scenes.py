from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from edgekit.data.annotations.formats import read_dataset
from edgekit.demo import emoji
from edgekit.demo.emoji import CODE_POINTS, EmojiFont, openmoji
from edgekit.demo.photo_sets import write_demo_set
from edgekit.demo.scenes import BASE_CLASSES, NEW_CLASSES, SPLITS, render_scene


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


def test_openmoji_scenes_are_what_the_embedded_model_learned_from() -> None:
    areas = {o.category: int(o.mask.sum()) for o in render_scene("base-test", 5).objects}
    expected = {"horse": 4868, "cow": 1203, "sheep": 5581, "car": 2342, "cat": 2391}
    assert areas == pytest.approx(expected, rel=0.03)  # edges differ a little between versions of FreeType


def test_each_class_has_drawings_of_its_own() -> None:
    drawings = {p: emoji._drawing(p, openmoji()) for points in CODE_POINTS.values() for p in points}
    assert all(min(d.size) > 50 for d in drawings.values())
    assert len({hashlib.sha256(d.tobytes()).digest() for d in drawings.values()}) == len(drawings)


def test_scenes_are_drawn_with_the_font_given() -> None:
    coarse = EmojiFont(openmoji().file, 24)
    first, second = render_scene("mixed-test", 3), render_scene("mixed-test", 3, font=coarse)
    assert not np.array_equal(first.image, second.image)
    assert [o.category for o in first.objects] == [o.category for o in second.objects]


def test_the_labelled_set_has_the_same_pictures_with_all_labels(tmp_path: Path) -> None:
    part = write_demo_set("new-train", 6, tmp_path / "new")
    full = write_demo_set("new-train-labelled", 6, tmp_path / "all")
    assert part.categories == NEW_CLASSES
    assert full.categories == BASE_CLASSES + NEW_CLASSES
    for new, every in zip(part.photos, full.photos, strict=True):
        assert new.path.read_bytes() == every.path.read_bytes()
        assert new.annotations == tuple(a for a in every.annotations if a.category in NEW_CLASSES)
    assert any(a.category in BASE_CLASSES for p in full.photos for a in p.annotations)


def test_written_set_reads_back(tmp_path: Path) -> None:
    written = write_demo_set("mixed-test", 4, tmp_path)
    assert read_dataset(written.file, tmp_path) == written

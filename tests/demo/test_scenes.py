from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from edgekit.data.annotations.formats import read_dataset
from edgekit.demo import emoji
from edgekit.demo.emoji import CODE_POINTS, NOTO_FONT
from edgekit.demo.photo_sets import write_demo_set
from edgekit.demo.scenes import BASE_CLASSES, NEW_CLASSES, SPLITS, render_scene
from edgekit.errors import EdgekitError

STYLES = [
    "openmoji",
    pytest.param("noto", marks=pytest.mark.skipif(not NOTO_FONT.is_file(), reason="needs fonts-noto-color-emoji")),
]


def test_same_seed_same_scene() -> None:
    first, second, other = (render_scene("mixed-test", 3, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.image, second.image)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("split", SPLITS)
def test_scene_annotates_visible_objects_of_its_set(split: str, style: str) -> None:
    allowed = {"base-train": BASE_CLASSES, "base-test": BASE_CLASSES, "new-train": NEW_CLASSES}
    for index in range(12):
        scene = render_scene(split, index, style=style)
        assert scene.image.shape == (320, 320, 3)
        assert {o.category for o in scene.objects} <= set(allowed.get(split, BASE_CLASSES + NEW_CLASSES))
        masks = [o.mask for o in scene.objects]
        assert all(m.sum() > 30 for m in masks)
        assert not masks or np.sum(masks, axis=0).max() <= 1, "visible masks overlap"


def test_openmoji_scenes_are_what_the_embedded_model_learned_from() -> None:
    areas = {o.category: int(o.mask.sum()) for o in render_scene("base-test", 5).objects}
    expected = {"horse": 4868, "cow": 1203, "sheep": 5581, "car": 2342, "cat": 2391}
    assert areas == pytest.approx(expected, rel=0.03)  # edges differ a little between versions of FreeType


@pytest.mark.parametrize("style", STYLES)
def test_each_class_has_drawings_of_its_own(style: str) -> None:
    drawings = {p: emoji._drawing(p, style) for points in CODE_POINTS.values() for p in points}
    assert all(min(d.size) > 50 for d in drawings.values())
    assert len({hashlib.sha256(d.tobytes()).digest() for d in drawings.values()}) == len(drawings)


@pytest.mark.skipif(not NOTO_FONT.is_file(), reason="needs fonts-noto-color-emoji")
def test_styles_differ() -> None:
    first, second = render_scene("mixed-test", 3), render_scene("mixed-test", 3, style="noto")
    assert not np.array_equal(first.image, second.image)


def test_missing_noto_font_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emoji, "NOTO_FONT", tmp_path / "none.ttf")
    emoji._font.cache_clear()
    emoji._drawing.cache_clear()
    with pytest.raises(EdgekitError) as caught:
        render_scene("base-test", 0, style="noto")
    assert "none.ttf" in caught.value.message
    assert "fonts-noto-color-emoji" in caught.value.hint


def test_annotate_base_adds_labels_to_the_same_pictures(tmp_path: Path) -> None:
    part = write_demo_set("new-train", 6, tmp_path / "new")
    full = write_demo_set("new-train", 6, tmp_path / "all", annotate_base=True)
    assert part.categories == NEW_CLASSES
    assert full.categories == BASE_CLASSES + NEW_CLASSES
    for new, every in zip(part.photos, full.photos, strict=True):
        assert new.path.read_bytes() == every.path.read_bytes()
        assert new.annotations == tuple(a for a in every.annotations if a.category in NEW_CLASSES)
    assert any(a.category in BASE_CLASSES for p in full.photos for a in p.annotations)


def test_written_set_reads_back(tmp_path: Path) -> None:
    written = write_demo_set("mixed-test", 4, tmp_path)
    assert read_dataset(written.file, tmp_path) == written

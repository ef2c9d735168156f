"""Photos are found however their names are written, and never outside the folders given."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from edgekit.data.annotations.photo_search import NotFound, find_photos, name_parts


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("a.jpg", "a.jpg"),
        ("./a.jpg", "a.jpg"),
        ("train/a.jpg", "train/a.jpg"),
        ("train\\a.jpg", "train/a.jpg"),
        ("C:\\Users\\me\\train\\a.jpg", "train/a.jpg"),
        ("/home/me/train/a.jpg", "a.jpg"),
        ("images/train/a.jpg", "train/a.jpg"),
        ("a.jpg", "deep/er/a.jpg"),
        ("train/a.jpg", "images/train/a.jpg"),
        ("a.JPG", "a.jpg"),
        ("a.jpg", "a.JPG"),
        ("a.bmp", "a.png"),
        ("a", "a.png"),
        ("a.v1.2.png", "a.v1.2.jpg"),
        (unicodedata.normalize("NFC", "é.jpg"), unicodedata.normalize("NFD", "é.jpg")),
        (unicodedata.normalize("NFD", "é/é.jpg"), unicodedata.normalize("NFC", "é/é.jpg")),
        ("https://host.org/bucket/a%20b.jpg?X-Amz-Signature=0", "a b.jpg"),
        ("s3://bucket/photos/a.jpg", "a.jpg"),
        ("/data/upload/3/abcd1234-a.jpg", "a.jpg"),
        ("/data/upload/3/abcd1234-a.jpg", "abcd1234-a.jpg"),
        ("/data/local-files/?d=photos/a.jpg", "photos/a.jpg"),
        ("../../a.jpg", "a.jpg"),
        ("../photos/../other/a.jpg", "other/a.jpg"),
        ("what?.jpg", "what?.jpg"),
        ("100%25.jpg", "100%25.jpg"),
    ],
)
def test_a_name_as_tools_write_it(name: str, there: str, tmp_path: Path) -> None:
    images = touch(tmp_path / "images", there, "other.jpg")
    assert find_photos([name], [images]) == [images / there]


def test_a_bare_name_must_be_unique(tmp_path: Path) -> None:
    images = touch(tmp_path, "train/a.jpg", "val/a.jpg", "val/b.jpg")
    ambiguous, found = find_photos(["a.jpg", "b.jpg"], [images])
    assert isinstance(ambiguous, NotFound)
    assert ambiguous.several
    assert "train/a.jpg" in ambiguous.detail
    assert found == images / "val" / "b.jpg"
    assert find_photos(["x/val/a.jpg", "b.jpg"], [images])[0] == images / "val" / "a.jpg"


def test_photos_are_of_one_folder(tmp_path: Path) -> None:
    first, second = touch(tmp_path / "1", "a.jpg"), touch(tmp_path / "2", "a.jpg", "b.jpg")
    assert find_photos(["a.jpg", "b.jpg"], [first, second]) == [second / "a.jpg", second / "b.jpg"]
    assert find_photos(["a.jpg"], [first, second]) == [first / "a.jpg"]
    found, lost = find_photos(["b.jpg", "photos/c.jpg"], [first, second])
    assert found == second / "b.jpg"
    assert isinstance(lost, NotFound)
    for tried in ("photos/c.jpg", str(first), str(second), "1 of 2"):
        assert tried in lost.detail


@pytest.mark.parametrize("name", ["../secret.png", "{root}/secret.png", "out/secret.png", "..\\secret.png"])
def test_nothing_outside_the_folder_is_found(name: str, tmp_path: Path) -> None:
    images = touch(tmp_path / "images", "a.png")
    touch(tmp_path, "secret.png")
    (images / "out").symlink_to(tmp_path)
    (found,) = find_photos([name.format(root=tmp_path)], [images])
    assert isinstance(found, NotFound)
    touch(images, "deep/secret.png")
    assert find_photos([name.format(root=tmp_path)], [images]) == [images / "deep" / "secret.png"]


def test_hidden_files_and_folders_are_not_looked_into(tmp_path: Path) -> None:
    touch(tmp_path, ".cache/a.jpg", "__MACOSX/a.jpg", ".b.jpg", "photos/a.jpg")
    found, hidden = find_photos(["a.jpg", "b.jpg"], [tmp_path])
    assert found == tmp_path / "photos" / "a.jpg"
    assert isinstance(hidden, NotFound)


@pytest.mark.parametrize("name", ["", "/", "..", "a\0.jpg", "https://"])
def test_names_of_nothing(name: str, tmp_path: Path) -> None:
    (found,) = find_photos([name], [touch(tmp_path, "a.jpg")])
    assert isinstance(found, NotFound)


def test_parts_do_not_climb() -> None:
    assert name_parts("../../etc/../passwd") == ("passwd",)

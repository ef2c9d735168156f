"""Which photos of a YOLO dataset are read, so that no split leaks into another."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from edgekit.data.annotations.formats import read_dataset
from edgekit.errors import EdgekitError


def test_yolo_splits_are_never_mixed(tmp_path: Path) -> None:
    row = "0 0.5 0.5 0.25 0.5\n"
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (tmp_path / kind / split).mkdir(parents=True)
        Image.new("RGB", (60, 40)).save(tmp_path / "images" / split / f"{split}.png")
        (tmp_path / "labels" / split / f"{split}.txt").write_text(row)
    config = tmp_path / "data.yaml"
    config.write_text("train: images/train\nval: images/val\nnames: [duck]\n")
    with pytest.raises(EdgekitError, match="holds the photos of train and val"):
        read_dataset(config, tmp_path)
    assert [p.path.stem for p in read_dataset(config, tmp_path / "images" / "train").photos] == ["train"]
    assert [p.path.stem for p in read_dataset(config, tmp_path, split="val").photos] == ["val"]
    with pytest.raises(EdgekitError, match="no folder of photos as test"):
        read_dataset(config, tmp_path, split="test")
    Image.new("RGB", (60, 40)).save(tmp_path / "images" / "val" / "val.jpg")
    with pytest.raises(EdgekitError, match=r"val\.txt: is the label file of both val\.jpg and val\.png"):
        read_dataset(config, tmp_path, split="val")


def test_one_labelme_file_is_sent_to_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"shapes": [], "imagePath": "a.png"}')
    with pytest.raises(EdgekitError, match="give the folder"):
        read_dataset(tmp_path / "a.json", tmp_path)


NAMES = ["off", "no", "007", "1e3", "null", "2024-01-31", "True", "0x1F", "1_000", "~", "3.10", "12:30"]


@pytest.mark.parametrize("listed", [True, False], ids=["list", "ids"])
def test_yaml_names_are_the_text_written(listed: bool, tmp_path: Path) -> None:
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("".join(f"{i} 0.5 0.5 0.25 0.5\n" for i in range(len(NAMES))))
    lines = [f"- {name}" if listed else f"  {i}: {name}" for i, name in enumerate(NAMES)]
    head = ["val:", "test: null", "path: ~", f"nc: {len(NAMES)}", "names:"]
    (tmp_path / "data.yaml").write_text("\n".join([*head, *lines]))
    dataset = read_dataset(tmp_path, tmp_path)
    assert list(dataset.categories) == NAMES
    assert [a.category for a in dataset.photos[0].annotations] == NAMES
    for split in ("val", "test"):
        with pytest.raises(EdgekitError, match=f"no folder of photos as {split}"):
            read_dataset(tmp_path, tmp_path, split=split)


@pytest.mark.parametrize("names", ["[frog, ]x", "{0: frog, 1: }", "[frog, '']", "{0: frog, '0': duck}", "{a: frog}"])
def test_yaml_names_that_cannot_be_are_refused(names: str, tmp_path: Path) -> None:
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    (tmp_path / "data.yaml").write_text(f"names: {names}\n")
    with pytest.raises(EdgekitError, match=r"data\.yaml"):
        read_dataset(tmp_path, tmp_path)

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import edgekit
from edgekit.data.annotations.dataset import Dataset
from edgekit.data.images import SAMPLE_PHOTOS


def test_public_names_exist_and_are_documented() -> None:
    for name in edgekit.__all__:
        assert getattr(edgekit, name) is not None
        assert name == "__version__" or getattr(edgekit, name).__doc__


def test_import_is_light() -> None:
    code = "import edgekit, sys; assert not {'torch', 'numpy', 'onnx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", [str, Path])
def test_paths_are_strings_or_paths_one_or_several(kind: Callable[[object], str | Path], tmp_path: Path) -> None:
    photo, folder = kind(SAMPLE_PHOTOS / "0.jpg"), tmp_path / "photos"
    folder.mkdir()
    (folder / "0.jpg").symlink_to(SAMPLE_PHOTOS / "0.jpg")
    for images in (photo, [photo], (photo,), kind(folder), [kind(folder)]):
        found = edgekit.predict("demo", images, kind(tmp_path / "drawn"), jsonl=kind(tmp_path / "x.jsonl"), force=True)
        assert isinstance(found, list)
        assert [p.image.name for p in found] == ["0.jpg"]
    assert (tmp_path / "drawn" / "0.png").is_file()
    assert edgekit.compare("demo", "demo", kind(folder)).verification.parity.images == 1


@pytest.mark.parametrize("kind", [str, Path])
def test_a_model_and_its_photos_by_strings_or_paths(
    kind: Callable[[object], str | Path], mixed_test: Dataset, adapted: Path
) -> None:
    data, images = kind(mixed_test.file), kind(mixed_test.file.parent)
    figures = edgekit.evaluate(kind(adapted), data, images, edgekit.Selection("one"))
    assert figures.new is not None
    assert edgekit.inspect(kind(adapted)).meta == edgekit.load(kind(adapted)).meta

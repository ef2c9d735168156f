"""The input size follows the photos, is part of the pack, and is the same wherever the pack is used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.adaptation.adapt import Adaptation, Learning, adapt
from edgekit.artifacts.graph_shapes import GraphShape
from edgekit.artifacts.pack_files import read_pack
from edgekit.data.annotations.coco import write_dataset
from edgekit.data.annotations.dataset import Annotation, Dataset, Photo
from edgekit.data.images import SAMPLE_PHOTOS, fit, list_images, read_image
from edgekit.deployment.export.export import export
from edgekit.deployment.folder.installing import install
from edgekit.errors import EdgekitError
from edgekit.model.modules import save
from edgekit.runtime.opening import open_session
from edgekit.runtime.selection import Selection
from tests.checkpoints import FASTERRCNN, random_detector

PORTRAIT = (400, 300)  # height, width
UNTRAINED = Learning(epochs=0, views=1)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector whose own input is landscape: 320 x 448."""
    folder = tmp_path_factory.mktemp("base")
    save(random_detector(FASTERRCNN), folder / "base.safetensors", classes=["a", "b", "c", "d"])
    return folder / "base.safetensors"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Portrait photos with one object each."""
    folder = tmp_path_factory.mktemp("portraits")
    found = []
    for number, path in enumerate(list_images(SAMPLE_PHOTOS)[:3], start=1):
        pixels = fit(read_image(path), PORTRAIT).pixels
        Image.fromarray(pixels).save(folder / f"{number}.png")
        frog = Annotation("frog", (40.0, 30.0, 120.0, 90.0), 10800.0, None)
        found.append(Photo(number, folder / f"{number}.png", *PORTRAIT, (frog,)))
    dataset = Dataset(folder / "new.json", ("frog",), tuple(found))
    write_dataset(dataset)
    return dataset


@pytest.fixture(scope="module")
def adapted(base: Path, photos: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Adaptation:
    output = tmp_path_factory.mktemp("packs") / "frog.pack"
    return adapt(base, photos.file, photos.file.parent, output, learning=UNTRAINED)


def test_adapt_takes_a_portrait_input_for_portrait_photos_and_says_so(adapted: Adaptation) -> None:
    assert read_pack(adapted.output).input_size == (448, 320)
    assert any("448x320" in line and "320x448" in line for line in adapted.advice)
    assert adapted.proof.retention.changed == 0


def test_the_size_that_is_asked_for_is_kept_and_a_better_one_named(base: Path, photos: Dataset, tmp_path: Path) -> None:
    asked = adapt(base, photos.file, photos.file.parent, tmp_path / "frog.pack", learning=UNTRAINED, size=(320, 448))
    assert read_pack(asked.output).input_size == (320, 448)
    assert any("448x320 would suit them" in line for line in asked.advice)


def test_a_checkpoint_takes_the_input_size_of_its_pack(base: Path, adapted: Adaptation, tmp_path: Path) -> None:
    assert open_session(base).meta.input_size == (320, 448)
    together = open_session(base, Selection(packs=(adapted.output,)))
    assert together.meta.input_size == (448, 320)
    result = export(base, tmp_path / "both.onnx", packs=[adapted.output], verify=False)
    assert result.input_size == (448, 320)
    canvas = fit(read_image(list_images(SAMPLE_PHOTOS)[0]), (448, 320)).pixels
    in_graph, in_pytorch = open_session(tmp_path / "both.onnx").infer(canvas), together.infer(canvas)
    assert np.allclose(np.sort(in_graph.scores), np.sort(in_pytorch.scores), atol=1e-3)


def test_a_pack_of_another_input_size_is_refused_unless_forced(base: Path, adapted: Adaptation, tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"input of 448x320, and .* has one of 320x448") as raised:
        export(base, tmp_path / "x.onnx", shape=GraphShape((320, 448)), packs=[adapted.output], verify=False)
    assert "--size 320x448" in raised.value.hint
    export(base, tmp_path / "model", verify=False)
    with pytest.raises(EdgekitError, match="input of 448x320"):
        install(adapted.output, tmp_path / "model")
    assert install(adapted.output, tmp_path / "model", force=True).installed == ("frog",)


def test_packs_of_different_input_sizes_do_not_go_together(
    base: Path, photos: Dataset, adapted: Adaptation, tmp_path: Path
) -> None:
    other = tmp_path / "toad.pack"
    renamed = Dataset(photos.file.parent / "toads.json", ("toad",), _renamed(photos, "toad"))
    write_dataset(renamed)
    adapt(base, renamed.file, photos.file.parent, other, learning=UNTRAINED, size=(320, 448))
    with pytest.raises(EdgekitError, match="pack toad: was trained with an input of 320x448"):
        open_session(base, Selection(packs=(adapted.output, other)))


def test_export_chooses_by_a_folder_of_photos(base: Path, photos: Dataset, tmp_path: Path) -> None:
    result = export(base, tmp_path / "portrait.onnx", images=photos.file.parent, verify=False)
    assert result.input_size == (448, 320)
    assert "448x320" in result.notes[0]
    with pytest.raises(EdgekitError, match="--images --size"):
        export(base, tmp_path / "x.onnx", images=photos.file.parent, shape=GraphShape((320, 448)), verify=False)
    with pytest.raises(EdgekitError, match=r"is a finished graph, --images"):
        export(tmp_path / "portrait.onnx", tmp_path / "x.onnx", images=photos.file.parent, verify=False)


def _renamed(photos: Dataset, name: str) -> tuple[Photo, ...]:
    return tuple(replace(p, annotations=tuple(replace(a, category=name) for a in p.annotations)) for p in photos.photos)

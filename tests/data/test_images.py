from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data.images import PAD, fit, graph_input, list_images, read_image
from edgekit.errors import EdgekitError


def test_fit_keeps_aspect_and_pads() -> None:
    canvas = fit(np.zeros((100, 200, 3), np.uint8), (320, 320))
    assert canvas.pixels.shape == (320, 320, 3)
    assert canvas.scale == (1.6, 1.6)
    assert (canvas.pixels[:160] == 0).all()
    assert (canvas.pixels[160:] == PAD).all()


def test_fit_leaves_a_photo_of_the_right_size_alone() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    assert np.array_equal(fit(photo, (64, 96)).pixels, photo)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20))
    exif = image.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (40, 20, 3)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_other_modes_become_rgb(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (8, 8)).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png").shape == (8, 8, 3)


def test_what_graphs_take() -> None:
    canvases = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), np.uint8)
    assert graph_input(canvases, "uint8") is canvases
    planes = graph_input(canvases, "float")
    assert (planes.shape, planes.dtype) == ((2, 3, 4, 6), np.float32)
    assert planes.flags.c_contiguous  # it is bound by its address
    assert planes[1, :, 2, 3].tolist() == canvases[1, 2, 3].tolist()


def test_a_float_graph_takes_what_opencv_makes() -> None:
    cv2 = pytest.importorskip("cv2", reason="needs edgekit[video]")
    canvas = np.random.default_rng(1).integers(0, 256, (4, 6, 3), np.uint8)
    blob = cv2.dnn.blobFromImage(np.ascontiguousarray(canvas[..., ::-1]), swapRB=True)
    assert np.array_equal(blob, graph_input(canvas[None], "float"))


def test_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="holds no images"):
        list_images(tmp_path)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)  # the superuser, who may run this, can read any folder
    with pytest.raises(EdgekitError, match=r"cannot be read: Permission denied \(check its rights\)") as caught:
        list_images(tmp_path)
    assert str(tmp_path) in caught.value.message

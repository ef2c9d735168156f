from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from edgekit.data.annotations.photo_files import photo_size
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


def save_grey(path: Path, values: np.ndarray, mode: str) -> Path:
    types = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4", "F": "<f4"}
    array = values.astype(types[mode])
    Image.frombytes(mode, array.shape[::-1], array.tobytes()).save(path)
    return path


@pytest.mark.parametrize(
    ("suffix", "mode"), [("png", "I;16"), ("tif", "I;16"), ("tif", "I;16B"), ("tif", "I"), ("tiff", "F")]
)
@pytest.mark.parametrize(("low", "high"), [(0, 65535), (7300, 7600), (0, 255)], ids=["full", "thermal", "8 of 16"])
def test_grey_of_many_bits_is_scaled_by_its_range(suffix: str, mode: str, low: int, high: int, tmp_path: Path) -> None:
    values = np.linspace(low, high, 20 * 30).round().reshape(20, 30)
    read = read_image(save_grey(tmp_path / f"x.{suffix}", values, mode))
    expected = np.rint((values - low) / (high - low) * 255)
    assert np.abs(read[:, :, 0] - expected).max() <= 1
    assert (read == read[:, :, :1]).all()


def test_dead_pixels_do_not_decide_the_range(tmp_path: Path) -> None:
    values = np.tile(np.linspace(7300, 7600, 100), (100, 1))
    values[50, 50], values[10, 10] = 65535, 0
    read = read_image(save_grey(tmp_path / "x.png", values, "I;16"))
    assert read[0, 0, 0] <= 3
    assert read[0, -1, 0] >= 252
    assert (read[50, 50, 0], read[10, 10, 0]) == (255, 0)


def test_a_small_object_on_a_background_of_one_value_is_seen(tmp_path: Path) -> None:
    values = np.full((200, 200), 7300)
    values[50:53, 50:53] = 7400
    read = read_image(save_grey(tmp_path / "x.png", values, "I;16"))
    assert (read[51, 51] == 255).all()
    assert (read[0, 0] == 0).all()


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_grey_of_one_value_is_of_one_colour(value: int, tmp_path: Path) -> None:
    read = read_image(save_grey(tmp_path / "x.png", np.full((8, 9), value), "I;16"))
    assert read.shape == (8, 9, 3)
    assert np.ptp(read) == 0


def test_floats_that_are_no_numbers(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 100).reshape(10, 10)
    values[0, :3] = np.nan, np.inf, -np.inf
    read = read_image(save_grey(tmp_path / "x.tif", values, "F"))[:, :, 0]
    assert read[0, :3].tolist() == [0, 255, 0]
    assert (np.diff(read.ravel()[3:].astype(int)) >= 0).all()


def test_palette_alpha_and_cmyk_keep_their_colours(tmp_path: Path) -> None:
    red = Image.new("RGB", (16, 16), (204, 51, 51))
    files = {"P": "png", "RGBA": "png", "CMYK": "jpg", "YCbCr": "tif", "RGBX": "tif"}
    for mode, suffix in files.items():
        red.convert(mode).save(tmp_path / f"{mode}.{suffix}")
        pixel = read_image(tmp_path / f"{mode}.{suffix}")[8, 8].astype(int)
        assert np.abs(pixel - (204, 51, 51)).max() <= 6, mode
    for mode in ("L", "LA", "1"):
        Image.new("L", (16, 16), 255).convert(mode).save(tmp_path / f"{mode}.png")
        assert (read_image(tmp_path / f"{mode}.png") == 255).all(), mode


def oriented(path: Path, value: object, kind: int = 3) -> Path:
    """A photo of 40x20 whose left half is red, with an EXIF orientation of any type."""
    image = Image.new("RGB", (40, 20))
    image.paste((255, 0, 0), (0, 0, 20, 20))
    if path.suffix == ".tif":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[0x0112] = value
        image.save(path, tiffinfo=tags)
        return path
    tags = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    tags.tagtype[0x0112] = kind
    tags[0x0112] = value
    image.save(path, exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00" + tags.tobytes(8), quality=100)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("value", range(12))
def test_every_orientation(suffix: str, value: int, tmp_path: Path) -> None:
    path = oriented(tmp_path / f"x.{suffix}", value)
    read = read_image(path)
    assert read.shape == ((40, 20, 3) if value in (5, 6, 7, 8) else (20, 40, 3))
    assert photo_size(path) == read.shape[:2]
    corner = {2: (0, -1), 3: (-1, -1), 4: (-1, 0), 6: (0, 0), 7: (-1, -1), 8: (-1, 0)}.get(value, (0, 0))
    assert read[corner][0] > 200


@pytest.mark.parametrize(
    ("value", "kind"), [("sideways", 2), (b"\xff\xfe", 7), (TiffImagePlugin.IFDRational(13, 2), 5)]
)
def test_an_orientation_of_nonsense_is_none(value: object, kind: int, tmp_path: Path) -> None:
    path = oriented(tmp_path / "x.jpg", value, kind)
    assert read_image(path).shape == (20, 40, 3)
    assert photo_size(path) == (20, 40)


@pytest.mark.parametrize("exif", [b"Exif\x00\x00", b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"Exif\x00\x00garbage" * 9])
def test_damaged_exif_is_no_orientation(exif: bytes, tmp_path: Path) -> None:
    Image.new("RGB", (40, 20)).save(tmp_path / "x.jpg", exif=exif)
    assert read_image(tmp_path / "x.jpg").shape == (20, 40, 3)
    assert photo_size(tmp_path / "x.jpg") == (20, 40)


def test_only_formats_of_photos_reach_pillow(tmp_path: Path) -> None:
    """Pillow would start Ghostscript for an EPS file, whatever it is called."""
    (tmp_path / "x.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    Image.new("RGB", (8, 8)).save(tmp_path / "x.gif")
    (tmp_path / "x.gif").rename(tmp_path / "x.png")
    for name in ("x.jpg", "x.png"):
        with pytest.raises(EdgekitError, match=rf"{name}: not a readable image"):
            read_image(tmp_path / name)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_001, 20_000])
def test_images_of_too_many_pixels_are_refused_before_they_are_decoded(side: int, tmp_path: Path) -> None:
    Image.new("1", (side, side)).save(tmp_path / "x.png")  # a small file
    with pytest.raises(EdgekitError, match=r"x\.png: has .*more than 100 million"):
        read_image(tmp_path / "x.png")

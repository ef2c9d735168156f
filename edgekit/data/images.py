"""Photos in, canvases out: the only place that reads, resizes and normalises."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from edgekit.artifacts.detector_settings import DetectorSettings
from edgekit.data.grey import eight_bit
from edgekit.errors import EdgekitError
from edgekit.files.reading import check_folder, list_files, refuse_special

PAD = DetectorSettings().pad  # of detectors that normalise as torchvision's
SAMPLE_PHOTOS = Path(__file__).parent.parent / "assets" / "verify"  # the photos that come with edgekit
INPUT_TYPES = ("uint8", "float")
# The only formats that are given to Pillow, whatever a file's name says: for others it starts programs of the system.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
MOST_PIXELS = 100_000_000  # of an image: 300 MB once decoded, some times that while it is drawn on
SMALLER = "scale it down, or cut it into tiles"
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Canvas:
    """A photo fitted into a model's input: pixels uint8 [H, W, 3] and how much of the photo a pixel is."""

    pixels: np.ndarray
    scale: tuple[float, float]  # canvas pixels per photo pixel, (x, y)
    photo_size: tuple[int, int]  # (height, width) of the photo


def read_image(path: Path, longest: int | None = None) -> np.ndarray:
    """An image file as RGB uint8 [H, W, 3], turned as its EXIF orientation says.

    Grey pixels of more than 8 bits are scaled by the image's own range: see ``data.grey.eight_bit``. An alpha channel
    is left out. A side above ``longest`` pixels is reduced to that, a JPEG's while it is decoded.
    """
    with opened_image(path) as image:
        if longest is not None:
            ratio = longest / max(image.size)
            image.draft(None, (math.ceil(image.width * ratio), math.ceil(image.height * ratio)))
        image.load()
        turn = _TURNS.get(orientation(image))
        rgb = eight_bit(image).convert("RGB")
        if longest is not None:
            rgb.thumbnail((longest, longest))
        return np.asarray(rgb if turn is None else rgb.transpose(turn))


@contextlib.contextmanager
def opened_image(path: Path) -> Iterator[Image.Image]:
    """An image file in Pillow; whatever keeps the block from reading it is raised as an EdgekitError."""
    refuse_special(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            _check_size(path, image)
            yield image
    except FileNotFoundError:
        raise EdgekitError(f"{path}: no such image", "check the path") from None
    except Image.DecompressionBombError:
        raise EdgekitError(f"{path}: has far more than {MOST_PIXELS // 1_000_000} million pixels", SMALLER) from None
    except (OSError, ValueError, SyntaxError) as error:
        raise EdgekitError(f"{path}: not a readable image: {error}", "replace or remove the file") from None


def _check_size(path: Path, image: Image.Image) -> None:
    """Raise for an image that would not fit into memory, before its pixels are decoded."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise EdgekitError(
            f"{path}: has {width}x{height} pixels, more than {MOST_PIXELS // 1_000_000} million", SMALLER
        )


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it is damaged or unknown."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
        return int(found) if found in _TURNS else 1
    except Exception:  # Pillow raises whatever its parsers meet in damaged EXIF: struct.error, KeyError, SyntaxError
        return 1


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder, by name: see ``list_files``."""
    check_folder(folder, "give a folder of photos")
    found = list_files(folder, SUFFIXES)
    if not found:
        raise EdgekitError(f"{folder}: holds no images", f"photos end in one of: {', '.join(SUFFIXES)}")
    return found


def graph_input(canvases: np.ndarray, input_type: str) -> np.ndarray:
    """Canvases, uint8 [N, H, W, 3], as a graph takes them: "uint8" as they are, "float" as float32 [N, 3, H, W] of
    the same values, 0 to 255."""
    if input_type != "float":
        return canvases
    return np.ascontiguousarray(canvases.transpose(0, 3, 1, 2), np.float32)


def fit(photo: np.ndarray, size: tuple[int, int], pad: tuple[int, ...] = PAD) -> Canvas:
    """Scale a photo [h, w, 3] to fill ``size`` (H, W) at its own aspect, at the top left of a canvas of the colour
    ``pad``."""
    height, width = photo.shape[:2]
    fitted = fitted_size((height, width), size)
    if fitted != (height, width):
        resized = Image.fromarray(photo).resize((fitted[1], fitted[0]), Image.Resampling.BILINEAR)
        photo = np.asarray(resized)
    if fitted == size:
        pixels = np.ascontiguousarray(photo)
    else:
        pixels = np.empty((*size, 3), np.uint8)
        pixels[:] = pad
        pixels[: fitted[0], : fitted[1]] = photo
    return Canvas(pixels, (fitted[1] / width, fitted[0] / height), (height, width))


def fitted_size(photo: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """The (height, width) that ``fit`` gives a photo of this (height, width) on a canvas of ``size``."""
    ratio = min(size[0] / photo[0], size[1] / photo[1])
    return max(1, round(photo[0] * ratio)), max(1, round(photo[1] * ratio))

"""Photos in, canvases out: the only place that reads, resizes and normalises."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from edgekit.errors import EdgekitError

# The ImageNet statistics that torchvision's detectors normalise with, of RGB in 0..1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
PAD = tuple(round(255 * m) for m in MEAN)  # about 0 once normalised, as torchvision pads
SAMPLE_PHOTOS = Path(__file__).parent.parent / "assets" / "verify"  # the photos that come with edgekit
INPUT_TYPES = ("uint8", "float")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


@dataclass(frozen=True)
class Canvas:
    """A photo fitted into a model's input: pixels uint8 [H, W, 3] and how much of the photo a pixel is."""

    pixels: np.ndarray
    scale: tuple[float, float]  # canvas pixels a photo pixel, (x, y)
    photo_size: tuple[int, int]  # (height, width) of the photo


def read_image(path: Path) -> np.ndarray:
    """An image file as RGB uint8 [H, W, 3], turned as its EXIF orientation says."""
    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError:
        raise EdgekitError(f"{path}: no such image", "check the path") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise EdgekitError(f"{path}: not a readable image: {error}", "replace or remove the file") from None


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder, by name."""
    try:
        if not folder.is_dir():
            raise EdgekitError(f"{folder}: no such folder", "give a folder of photos")
        found = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise EdgekitError(f"{folder}: cannot be read: {error.strerror or error}", "check its rights") from None
    if not found:
        raise EdgekitError(f"{folder}: holds no images", f"photos end in one of: {', '.join(SUFFIXES)}")
    return found


def graph_input(canvases: np.ndarray, input_type: str) -> np.ndarray:
    """Canvases, uint8 [N, H, W, 3], as a graph takes them: "uint8" as they are, "float" as float32 [N, 3, H, W] of
    the same values, 0 to 255."""
    if input_type != "float":
        return canvases
    return np.ascontiguousarray(canvases.transpose(0, 3, 1, 2), np.float32)


def fit(photo: np.ndarray, size: tuple[int, int]) -> Canvas:
    """Scale a photo [h, w, 3] to fill ``size`` (H, W) at its own aspect, at the top left of a padded canvas."""
    height, width = photo.shape[:2]
    ratio = min(size[0] / height, size[1] / width)
    fitted = (max(1, round(height * ratio)), max(1, round(width * ratio)))
    if fitted != (height, width):
        resized = Image.fromarray(photo).resize((fitted[1], fitted[0]), Image.Resampling.BILINEAR)
        photo = np.asarray(resized)
    if fitted == size:
        pixels = np.ascontiguousarray(photo)
    else:
        pixels = np.empty((*size, 3), np.uint8)
        pixels[:] = PAD
        pixels[: fitted[0], : fitted[1]] = photo
    return Canvas(pixels, (fitted[1] / width, fitted[0] / height), (height, width))

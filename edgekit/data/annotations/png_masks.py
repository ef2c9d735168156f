"""Masks that annotation files hold as PNG files."""

from __future__ import annotations

import base64
import io
import zlib

import numpy as np
from PIL import Image

_ROOM = 1 << 16  # bytes of a PNG beside its pixels


def read_packed_mask(encoded: str, largest: tuple[int, int]) -> np.ndarray:
    """The mask of a PNG that zlib packed once more, in base64; see ``read_png_mask``."""
    png = _unpacked(base64.b64decode(encoded), most=4 * largest[0] * largest[1] + _ROOM)
    return read_png_mask(png, largest)


def read_png_mask(png: bytes, largest: tuple[int, int] | None = None) -> np.ndarray:
    """The mask of a PNG, bool [h, w]: what is not transparent, or not black where nothing can be transparent.

    Raises ValueError where it is no PNG, or larger than ``largest`` (height, width), before any pixel is unpacked.
    """
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if largest and (image.height > largest[0] or image.width > largest[1]):
                raise ValueError(f"its mask of {image.width}x{image.height} pixels is larger than its photo")
            if "A" in image.getbands() or "transparency" in image.info:
                return np.asarray(image.convert("RGBA"))[..., 3] > 0
            return np.asarray(image.convert("L")) > 0
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"its mask is not a PNG: {error}") from None


def _unpacked(packed: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, most)
    except zlib.error as error:
        raise ValueError(f"its mask cannot be unpacked: {error}") from None
    if unpacker.unconsumed_tail:
        raise ValueError("its mask unpacks to more than its photo could hold")
    return data

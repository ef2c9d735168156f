"""Photos with what was found drawn on them."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edgekit.data.detections import Detections

MASK_OPACITY = 0.45
Colour = tuple[int, int, int]


def draw(photo: np.ndarray, found: Detections, categories: tuple[str, ...]) -> Image.Image:
    """Masks, boxes, names and scores over a photo, RGB uint8 [H, W, 3]; a class always has the same colour."""
    pixels, classes = photo.astype(np.float32), [categories.index(categories[label]) for label in found.labels]
    for crop, label in zip(found.cropped_masks(), classes, strict=False):
        height, width = crop.mask.shape
        part = pixels[crop.top : crop.top + height, crop.left : crop.left + width]
        part[crop.mask] = (1 - MASK_OPACITY) * part[crop.mask] + MASK_OPACITY * np.array(colour(label))
    picture = Image.fromarray(pixels.astype(np.uint8))
    texts = [f"{categories[label]} {score:.2f}" for label, score in zip(found.labels, found.scores, strict=True)]
    mark(picture, found.boxes, texts, [colour(label) for label in classes])
    return picture


def mark(picture: Image.Image, boxes: np.ndarray, texts: Sequence[str], paints: Sequence[Colour]) -> None:
    """Draw boxes [N, 4], xyxy in pixels, each with a text above it, onto a picture."""
    pen = ImageDraw.Draw(picture)
    size = max(12, round(min(picture.size) / 28))
    font = ImageFont.load_default(size)
    for box, text, paint in zip(boxes, texts, paints, strict=True):
        pen.rectangle([float(v) for v in box], outline=paint, width=max(2, size // 7))
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
        width, height = right - left + 6, bottom - top + 6
        x = min(max(0.0, float(box[0])), max(0.0, picture.width - width))
        y = float(box[1]) - height if box[1] >= height else float(box[1])
        pen.rectangle([x, y, x + width, y + height], fill=paint)
        pen.text((x + 3 - left, y + 3 - top), text, font=font, fill=(0, 0, 0))


def colour(label: int) -> Colour:
    """A bright RGB colour for a label, far from its neighbours'."""
    hue = (label * 0.618034) % 1  # the golden ratio spreads hues evenly
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.65, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)

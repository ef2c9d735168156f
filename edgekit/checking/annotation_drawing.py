"""Photos, or parts of them, with what is annotated drawn on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from edgekit.data.annotations.dataset import Annotation, Photo
from edgekit.data.images import read_image
from edgekit.inference.drawing import MASK_OPACITY, Colour, colour, mark

LONGEST = 400  # pixels of a picture's long side
LEAST_SHARE = 0.4  # of the photo's sides that a part shows at least
WIDER = 2.5  # than an object is the part of the photo that shows it
CROWD: Colour = (190, 190, 190)
DOUBTED: Colour = (255, 70, 60)

Box = tuple[float, float, float, float]  # [x, y, w, h], pixels of the photo
Part = tuple[int, int, int, int]  # the same


@dataclass(frozen=True)
class Doubt:
    """A box to point at, and what to write above it."""

    box: Box
    text: str


def annotated_picture(photo: Photo, categories: Sequence[str], doubt: Doubt | None = None) -> Image.Image:
    """A photo with its masks and boxes; a doubt is drawn last, on the part of the photo around it.

    An object without a mask is not filled.
    """
    part = _around(doubt.box, photo) if doubt else (0, 0, photo.width, photo.height)
    left, top, width, height = part
    enlarged = LONGEST / max(width, height)
    pixels = _pixels(photo, part, enlarged)
    shown = [a for a in photo.annotations if _meets(a, part)]
    paints = [CROWD if a.iscrowd else colour(1 + list(categories).index(a.category)) for a in shown]
    for item, paint in zip(shown, paints, strict=True):
        if item.segmentation is not None:
            mask = Image.fromarray(item.mask()[top : top + height, left : left + width])
            filled = np.asarray(mask.resize(pixels.shape[1::-1], Image.Resampling.NEAREST))
            pixels[filled] = (1 - MASK_OPACITY) * pixels[filled] + MASK_OPACITY * np.array(paint)
    picture = Image.fromarray(pixels.astype(np.uint8))
    texts = [_text(a) for a in shown]
    boxes = [a.bbox for a in shown]
    if doubt is not None:
        boxes, texts, paints = [*boxes, doubt.box], [*texts, doubt.text], [*paints, DOUBTED]
    corners = [((x - left), (y - top), (x + w - left), (y + h - top)) for x, y, w, h in boxes]
    mark(picture, enlarged * np.array(corners, np.float32).reshape(-1, 4), texts, paints)
    return picture


def _pixels(photo: Photo, part: Part, enlarged: float) -> np.ndarray:
    """A part of a photo, enlarged or reduced: float32 [h, w, 3]; the photo is read no larger than that needs."""
    left, top, width, height = part
    whole = read_image(photo.path, math.ceil(max(photo.width, photo.height) * min(1.0, enlarged)))
    x_scale, y_scale = whole.shape[1] / photo.width, whole.shape[0] / photo.height
    corners = left * x_scale, top * y_scale, (left + width) * x_scale, (top + height) * y_scale
    size = max(1, round(width * enlarged)), max(1, round(height * enlarged))
    resized = Image.fromarray(whole).resize(size, Image.Resampling.BILINEAR, box=corners)
    return np.asarray(resized).astype(np.float32)


def _around(box: Box, photo: Photo) -> Part:
    """The part [x, y, w, h] of a photo that shows a box and what is around it."""
    x, y, w, h = box
    width = min(photo.width, math.ceil(max(WIDER * w, LEAST_SHARE * photo.width)))
    height = min(photo.height, math.ceil(max(WIDER * h, LEAST_SHARE * photo.height)))
    left = min(max(0, round(x + (w - width) / 2)), photo.width - width)
    top = min(max(0, round(y + (h - height) / 2)), photo.height - height)
    return left, top, width, height


def _text(item: Annotation) -> str:
    """What is written above an object."""
    if item.mask_made:
        return f"{item.category} (made mask)"
    return f"{item.category} (crowd)" if item.iscrowd else item.category


def _meets(item: Annotation, part: Part) -> bool:
    """Whether an object's box meets a part [x, y, w, h] of the photo."""
    x, y, w, h = item.bbox
    left, top, width, height = part
    return x < left + width and x + w > left and y < top + height and y + h > top

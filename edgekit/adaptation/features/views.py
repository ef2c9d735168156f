"""Views of a photo: the photo on the model's canvas, and varied copies of it, with the objects' masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from edgekit.data.annotations.dataset import Annotation, Photo
from edgekit.data.images import PAD, fit

LEAST_VISIBLE = 0.3  # an object that keeps less of its area in a view is left out of it


@dataclass(frozen=True)
class View:
    """One picture to learn from: a canvas with its objects."""

    pixels: np.ndarray  # uint8 [H, W, 3]
    boxes: np.ndarray  # float32 [N, 4] xyxy, pixels
    labels: np.ndarray  # int64 [N], the model's
    masks: np.ndarray  # bool [N, H, W]; a filled box where there is no mask
    has_mask: np.ndarray  # bool [N]
    drawn: np.ndarray  # bool [N]: the mask was annotated, so the box is the mask's
    crowds: np.ndarray  # float32 [M, 4]: regions that say nothing of what is in them


def plain_view(photo: Photo, labels: Mapping[str, int], size: tuple[int, int]) -> View:
    """The photo fitted to ``size`` (H, W), with the annotated objects of the classes that ``labels`` names."""
    canvas = fit(photo.read(), size)
    masks, found, crowds = [np.zeros((0, *size), bool)], list[Annotation](), []
    for item in photo.annotations:
        if item.category not in labels:
            continue
        mask = _fit_mask(_mask(item, photo), canvas.scale, size)[None]
        if item.iscrowd:
            crowds.append(_box(mask[0]))
        elif mask.any():
            masks.append(mask)
            found.append(item)
    stacked = np.concatenate(masks)
    drawn = np.array([item.segmentation is not None and not item.mask_made for item in found], bool)
    annotated = np.array([item.bbox for item in found], np.float32).reshape(-1, 4)
    annotated[:, 2:] += annotated[:, :2]
    return View(
        pixels=canvas.pixels,
        boxes=np.where(drawn[:, None], _boxes(stacked), annotated * np.tile(np.array(canvas.scale, np.float32), 2)),
        labels=np.array([labels[item.category] for item in found], np.int64),
        masks=stacked,
        has_mask=np.array([item.segmentation is not None for item in found], bool),
        drawn=drawn,
        crowds=np.array(crowds, np.float32).reshape(-1, 4),
    )


def varied_view(view: View, rng: np.random.Generator) -> View:
    """A copy that a camera elsewhere might have taken: flipped, scaled, shifted, in another light."""
    height, width = view.pixels.shape[:2]
    scale = float(np.exp(rng.uniform(np.log(0.6), np.log(1.5))))
    flip = bool(rng.random() < 0.5)
    # The slack is what the scaled picture lacks (then it is shifted within) or exceeds (then it is cropped).
    shift_x, shift_y = rng.uniform(0, 1) * (width - scale * width), rng.uniform(0, 1) * (height - scale * height)
    image = Image.fromarray(view.pixels)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(float(rng.uniform(0.7, 1.3)))

    def moved(boxes: np.ndarray) -> np.ndarray:
        if flip:
            boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
        return (boxes * scale + np.tile([shift_x, shift_y], 2)).astype(np.float32)

    def move(picture: Image.Image, resampling: Image.Resampling, fill: int | tuple[int, ...]) -> np.ndarray:
        if flip:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        # PIL maps output to input: x_in = a * x_out + b * y_out + c.
        inverse = (1 / scale, 0, -shift_x / scale, 0, 1 / scale, -shift_y / scale)
        return np.array(picture.transform((width, height), Image.Transform.AFFINE, inverse, resampling, fillcolor=fill))

    pixels = move(image, Image.Resampling.BILINEAR, PAD)
    fitted = [move(Image.fromarray(m.astype(np.uint8)), Image.Resampling.NEAREST, 0) > 0 for m in view.masks]
    masks = np.stack(fitted) if fitted else view.masks
    before, after = view.masks.sum(axis=(1, 2)) * scale**2, masks.sum(axis=(1, 2))
    keep = after > np.maximum(LEAST_VISIBLE * before, 16)
    seen = np.clip(moved(view.boxes), 0, np.array([width, height, width, height], np.float32))
    boxes = np.where(view.drawn[:, None], _boxes(masks), seen)
    return View(
        pixels=pixels,
        boxes=boxes[keep],
        labels=view.labels[keep],
        masks=masks[keep],
        has_mask=view.has_mask[keep],
        drawn=view.drawn[keep],
        crowds=moved(view.crowds),
    )


def _mask(item: Annotation, photo: Photo) -> np.ndarray:
    """The object's mask, bool [H, W]; its box filled where it has none."""
    if item.segmentation is not None:
        return item.mask()
    x, y, width, height = item.bbox
    filled = np.zeros((photo.height, photo.width), bool)
    left, top = min(round(x), photo.width - 1), min(round(y), photo.height - 1)
    filled[top : max(round(y + height), top + 1), left : max(round(x + width), left + 1)] = True
    return filled


def _fit_mask(mask: np.ndarray, scale: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    height, width = round(mask.shape[0] * scale[1]), round(mask.shape[1] * scale[0])
    if (height, width) != mask.shape:
        small = Image.fromarray(mask.astype(np.uint8) * 255).resize((width, height), Image.Resampling.BILINEAR)
        mask = np.asarray(small) > 127
    fitted = np.zeros(size, bool)
    fitted[:height, :width] = mask
    return fitted


def _boxes(masks: np.ndarray) -> np.ndarray:
    return np.array([_box(m) for m in masks], np.float32).reshape(-1, 4)


def _box(mask: np.ndarray) -> tuple[float, float, float, float]:
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1)) if len(xs) else (0.0, 0.0, 0.0, 0.0)

"""The demo's scenes: drawings with exact masks on varied backgrounds, the same for the same seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from edgekit.demo.backgrounds import SIZE, draw_background
from edgekit.demo.emoji import EmojiFont, openmoji, posed_drawing

MIN_VISIBLE = 0.6  # share of an object that others must leave visible
BASE_CLASSES = (
    "dog", "cat", "horse", "sheep", "cow", "car", "bicycle", "bus", "airplane", "banana", "apple", "umbrella",
)  # fmt: skip
NEW_CLASSES = ("chicken", "frog")


@dataclass(frozen=True)
class Split:
    """How many objects a scene of a set holds, and which of them are annotated."""

    stream: int  # keeps the random numbers of the sets apart
    base_objects: tuple[int, int]  # fewest, most
    new_objects: tuple[int, int]
    annotate_base: bool = True


SPLITS = {
    "base-train": Split(0, base_objects=(1, 5), new_objects=(0, 0)),
    "base-test": Split(1, base_objects=(1, 5), new_objects=(0, 0)),
    "new-train": Split(2, base_objects=(0, 3), new_objects=(1, 2), annotate_base=False),
    "new-train-labelled": Split(2, base_objects=(0, 3), new_objects=(1, 2)),  # the same pictures with all labels
    "mixed-test": Split(3, base_objects=(0, 3), new_objects=(0, 2)),
}


@dataclass(frozen=True)
class SceneObject:
    """One object: its class and its visible mask."""

    category: str
    mask: np.ndarray  # bool [SIZE, SIZE]
    area: int  # pixels, before anything covered it


@dataclass(frozen=True)
class Scene:
    """One rendered picture with its annotated objects."""

    image: np.ndarray  # uint8 [SIZE, SIZE, 3] RGB
    objects: tuple[SceneObject, ...]


def render_scene(split: str, index: int, seed: int = 0, font: EmojiFont | None = None) -> Scene:
    """Render scene ``index`` of a set, with the drawings of ``font`` (default: OpenMoji); the same arguments give the
    same scene."""
    settings, font = SPLITS[split], font or openmoji()
    rng = np.random.default_rng([seed, settings.stream, index])
    names = list(rng.choice(BASE_CLASSES, rng.integers(settings.base_objects[0], settings.base_objects[1] + 1)))
    names += list(rng.choice(NEW_CLASSES, rng.integers(settings.new_objects[0], settings.new_objects[1] + 1)))
    if not names:
        names = [rng.choice(BASE_CLASSES + NEW_CLASSES)]
    rng.shuffle(names)

    canvas = draw_background(rng)
    placed: list[SceneObject] = []
    for name in names:
        _place(rng, canvas, placed, str(name), font)
    image = _photograph(rng, canvas)
    annotated = annotated_classes(split)
    return Scene(image, tuple(o for o in placed if o.category in annotated))


def annotated_classes(split: str) -> tuple[str, ...]:
    """The classes whose objects are annotated in a set."""
    settings = SPLITS[split]
    return (BASE_CLASSES if settings.annotate_base else ()) + (NEW_CLASSES if settings.new_objects[1] else ())


def _place(rng: np.random.Generator, canvas: np.ndarray, placed: list[SceneObject], name: str, font: EmojiFont) -> None:
    """Paste one object where it hides no earlier one too much; give up after a few tries."""
    for _ in range(12):
        colour, alpha = posed_drawing(rng, name, font)
        height, width = alpha.shape
        # Up to a quarter of the object may leave the picture.
        top = int(rng.integers(-height // 4, SIZE - height * 3 // 4))
        left = int(rng.integers(-width // 4, SIZE - width * 3 // 4))
        y0, y1, x0, x1 = max(top, 0), min(top + height, SIZE), max(left, 0), min(left + width, SIZE)
        inside = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        mask = np.zeros((SIZE, SIZE), bool)
        mask[y0:y1, x0:x1] = alpha[inside] > 0.5
        if any((o.mask & ~mask).sum() < MIN_VISIBLE * o.area for o in placed):
            continue
        weight = alpha[inside][..., None]
        canvas[y0:y1, x0:x1] = canvas[y0:y1, x0:x1] * (1 - weight) + colour[inside] * weight
        for other in placed:
            other.mask[mask] = False
        placed.append(SceneObject(name, mask, int(mask.sum())))
        return


def _photograph(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """What a camera adds: light, blur, noise. Returns uint8 [SIZE, SIZE, 3]."""
    lit = canvas * rng.uniform(0.8, 1.15, 3).astype(np.float32)
    image = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.3))))
    noisy = np.asarray(image, np.float32)
    noisy = noisy + rng.uniform(0, 10) * rng.standard_normal(canvas.shape, np.float32)
    return np.clip(noisy, 0, 255).astype(np.uint8)

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
    "mixed-test": Split(3, base_objects=(0, 3), new_objects=(0, 2)),
}


@dataclass(frozen=True)
class SceneObject:
    """One annotated object: its class and its visible mask."""

    category: str
    mask: np.ndarray  # bool [SIZE, SIZE]


@dataclass(frozen=True)
class Scene:
    """One rendered picture with its annotated objects."""

    image: np.ndarray  # uint8 [SIZE, SIZE, 3] RGB
    objects: tuple[SceneObject, ...]


def render_scene(
    split: str, index: int, seed: int = 0, font: EmojiFont | None = None, annotate_base: bool | None = None
) -> Scene:
    """Render scene ``index`` of a set; the same arguments give the same scene.

    ``font`` has the drawings (default: OpenMoji). ``annotate_base`` says whether objects of the base classes are
    annotated where that is not to be as the set has it; the picture is the same.
    """
    settings, font = SPLITS[split], font or openmoji()
    rng = np.random.default_rng([seed, settings.stream, index])
    names = list(rng.choice(BASE_CLASSES, rng.integers(settings.base_objects[0], settings.base_objects[1] + 1)))
    names += list(rng.choice(NEW_CLASSES, rng.integers(settings.new_objects[0], settings.new_objects[1] + 1)))
    if not names:
        names = [rng.choice(BASE_CLASSES + NEW_CLASSES)]
    rng.shuffle(names)

    canvas = draw_background(rng)
    placed: list[_Placed] = []
    for name in names:
        _place(rng, canvas, placed, str(name), font)
    image = _photograph(rng, canvas)
    annotated = annotated_classes(split, annotate_base)
    objects = tuple(SceneObject(o.name, o.visible) for o in placed if o.name in annotated)
    return Scene(image, objects)


def annotated_classes(split: str, annotate_base: bool | None = None) -> tuple[str, ...]:
    """The classes whose objects are annotated in a set; ``annotate_base`` as in ``render_scene``."""
    settings = SPLITS[split]
    base = settings.annotate_base if annotate_base is None else annotate_base
    return (BASE_CLASSES if base else ()) + (NEW_CLASSES if settings.new_objects[1] else ())


@dataclass
class _Placed:
    name: str
    area: int  # pixels, before anything covered it
    visible: np.ndarray  # bool [SIZE, SIZE]


def _place(rng: np.random.Generator, canvas: np.ndarray, placed: list[_Placed], name: str, font: EmojiFont) -> None:
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
        if any((o.visible & ~mask).sum() < MIN_VISIBLE * o.area for o in placed):
            continue
        weight = alpha[inside][..., None]
        canvas[y0:y1, x0:x1] = canvas[y0:y1, x0:x1] * (1 - weight) + colour[inside] * weight
        for other in placed:
            other.visible &= ~mask
        placed.append(_Placed(name, int(mask.sum()), mask))
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

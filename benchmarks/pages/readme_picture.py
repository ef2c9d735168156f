"""Draw the README's picture: one scene as the base model sees it, and as the model adapted by ``make demo`` does.

    python -m benchmarks.pages.readme_picture --model demo/adapted.safetensors

The scene is of no set that anything was trained on. Its drawings are OpenMoji's (CC BY-SA 4.0), and so is the picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import edgekit
from benchmarks.lib.paths import DOCS
from edgekit.demo.scenes import render_scene
from edgekit.inference.drawing import draw
from edgekit.runtime.session import detect

PICTURE = DOCS / "images" / "before-and-after.jpg"
SCENE = 20_168
SIDE, GAP = 560, 16  # pixels
MIN_SCORE = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("demo/adapted.safetensors"), help="what make demo wrote")
    parser.add_argument("--scene", type=int, default=SCENE, help="number of the scene")
    parser.add_argument("--output", type=Path, default=PICTURE)
    args = parser.parse_args()
    scene = Image.fromarray(render_scene("mixed-test", args.scene).image)
    photo = np.asarray(scene.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    picture = Image.new("RGB", (2 * SIDE + GAP, SIDE), "white")
    picture.paste(drawn("demo", photo), (0, 0))
    picture.paste(drawn(args.model, photo), (SIDE + GAP, 0))
    args.output.parent.mkdir(exist_ok=True)
    picture.save(args.output, quality=85)


def drawn(model: str | Path, photo: np.ndarray) -> Image.Image:
    """The photo with what a model finds in it."""
    session = edgekit.load(model)
    found = detect(session, photo)
    return draw(photo, found.select(found.scores >= MIN_SCORE), session.meta.categories)


if __name__ == "__main__":
    main()

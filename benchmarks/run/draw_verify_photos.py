"""Draw the photos that come with edgekit: what exports are compared on and ``bench`` uses by default.

python -m benchmarks.run.draw_verify_photos
"""

from __future__ import annotations

from PIL import Image

from edgekit.data.images import SAMPLE_PHOTOS
from edgekit.demo.scenes import render_scene

COUNT = 8
FIRST = 10_000  # scenes of mixed-test that no measurement uses

if __name__ == "__main__":
    for number in range(COUNT):
        scene = render_scene("mixed-test", FIRST + number)
        Image.fromarray(scene.image).save(SAMPLE_PHOTOS / f"{number}.jpg", quality=88)

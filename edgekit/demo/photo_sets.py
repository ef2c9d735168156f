"""The demo's photo sets, written as a user's would be: a folder of JPEGs and a COCO JSON."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from edgekit.artifacts.outputs import MARK
from edgekit.data.annotations.coco import write_dataset
from edgekit.data.annotations.dataset import Annotation, Dataset, Photo
from edgekit.data.detections import rle
from edgekit.demo.backgrounds import SIZE
from edgekit.demo.emoji import EmojiFont
from edgekit.demo.scenes import SceneObject, annotated_classes, render_scene
from edgekit.progress import Track, silent


def write_demo_set(
    split: str, count: int, folder: Path, seed: int = 0, track: Track = silent, font: EmojiFont | None = None
) -> Dataset:
    """Render ``count`` scenes of a set to ``folder/NNNN.jpg`` and ``folder/annotations.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    names = demo_files(count)

    def draw(index: int) -> Photo:
        scene = render_scene(split, index, seed, font)
        path = folder / names[index]
        Image.fromarray(scene.image).save(path, quality=92, comment=MARK)
        annotations = tuple(_annotation(o) for o in scene.objects if o.mask.any())
        return Photo(index + 1, path, SIZE, SIZE, annotations)

    # In threads, since Pillow and NumPy do the work; each scene depends on its index alone.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        drawn = [pool.submit(draw, index) for index in range(count)]
        photos = [photo.result() for photo in track(drawn, f"drawing {split}")]
    dataset = Dataset(folder / names[-1], annotated_classes(split), tuple(photos))
    write_dataset(dataset)
    return dataset


def demo_files(count: int) -> list[str]:
    """The names of the files of a set of ``count`` photos, their annotations last."""
    return [*(f"{index:04d}.jpg" for index in range(count)), "annotations.json"]


def _annotation(item: SceneObject) -> Annotation:
    ys, xs = np.nonzero(item.mask)
    x, y = int(xs.min()), int(ys.min())
    box = (float(x), float(y), float(xs.max() + 1 - x), float(ys.max() + 1 - y))
    return Annotation(item.category, box, float(item.mask.sum()), rle(item.mask))

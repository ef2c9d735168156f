"""A model ready to run, whatever form it has, and what it returns."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from edgekit.artifacts.metadata import ModelMeta
from edgekit.data.detections import Detections, from_canvas
from edgekit.data.images import fit


class Outputs(NamedTuple):
    """What a model found in one canvas, in its pixels; rows with score 0 are padding."""

    boxes: np.ndarray  # float32 [D, 4] xyxy
    labels: np.ndarray  # int64 [D]
    scores: np.ndarray  # float32 [D]
    masks: np.ndarray  # float32 [D, 28, 28]; [D, 0, 0] from a model without masks


class Session(Protocol):
    """A model ready to run. A class that derives from this one implements ``infer``, ``infer_batch`` or both."""

    runtime: str  # what runs it, and on what, e.g. "pytorch cpu"
    meta: ModelMeta
    overlaps: str = "keep"  # how detections of one object are treated where nothing else is asked for
    batch: int | None = 1  # canvases per call of ``infer_batch``; None: any number

    def infer(self, pixels: np.ndarray) -> Outputs:
        """Run on one canvas: uint8 [H, W, 3] of the model's input size."""
        images = np.zeros((self.batch or 1, *pixels.shape), np.uint8)
        images[0] = pixels
        return self.infer_batch(images)[0]

    def infer_batch(self, images: np.ndarray) -> list[Outputs]:
        """Run on ``batch`` canvases: uint8 [N, H, W, 3]."""
        (pixels,) = images
        return [self.infer(pixels)]

    def close(self) -> None:
        """Release what the session holds; it cannot run afterwards. A second call does nothing."""
        return


def detect(session: Session, photo: np.ndarray) -> Detections:
    """Run a model on a photo, RGB uint8 [H, W, 3]."""
    canvas = fit(photo, session.meta.input_size, session.meta.settings.pad)
    return from_canvas(canvas, *session.infer(canvas.pixels))

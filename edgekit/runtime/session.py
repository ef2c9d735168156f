"""One way to run a model, whatever form it has."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from edgekit.artifacts import ModelMeta, kind_of, resolve
from edgekit.data.detections import Detections, from_canvas
from edgekit.data.images import fit


class Outputs(NamedTuple):
    """What a model found in one canvas, in its pixels; rows with score 0 are padding."""

    boxes: np.ndarray  # float32 [D, 4] xyxy
    labels: np.ndarray  # int64 [D]
    scores: np.ndarray  # float32 [D]
    masks: np.ndarray  # float32 [D, 28, 28]


class Session(Protocol):
    """A model ready to run."""

    runtime: str  # what runs it, and on what: "pytorch cpu"
    meta: ModelMeta

    def infer(self, pixels: np.ndarray) -> Outputs:
        """Run on one canvas: uint8 [H, W, 3] of the model's input size."""


def open_session(model: str | Path) -> Session:
    """Load a checkpoint or an ONNX file, or an embedded model by its name."""
    path = resolve(model)
    if kind_of(path) == "onnx":
        from edgekit.runtime.onnx_session import OnnxSession

        return OnnxSession(path)
    from edgekit.runtime.torch_session import TorchSession

    return TorchSession.load(path)


def detect(session: Session, photo: np.ndarray) -> Detections:
    """What a model finds in a photo, RGB uint8 [H, W, 3]."""
    canvas = fit(photo, session.meta.input_size)
    return from_canvas(canvas, *session.infer(canvas.pixels))

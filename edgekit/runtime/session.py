"""One way to run a model, whatever form it has."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from edgekit.artifacts.metadata import ModelMeta
from edgekit.artifacts.model_names import kind_of, resolve
from edgekit.data.detections import Detections, from_canvas
from edgekit.data.images import fit
from edgekit.errors import EdgekitError
from edgekit.model.hints import CheckpointHints


class Outputs(NamedTuple):
    """What a model found in one canvas, in its pixels; rows with score 0 are padding."""

    boxes: np.ndarray  # float32 [D, 4] xyxy
    labels: np.ndarray  # int64 [D]
    scores: np.ndarray  # float32 [D]
    masks: np.ndarray  # float32 [D, 28, 28]; [D, 0, 0] from a model without masks


class Session(Protocol):
    """A model ready to run. A class that names this one as its base takes one canvas per call and holds nothing."""

    runtime: str  # what runs it, and on what: "pytorch cpu"
    meta: ModelMeta

    @property
    def batch(self) -> int | None:
        """How many canvases a call of ``infer_batch`` takes; None: any number."""
        return 1

    def infer(self, pixels: np.ndarray) -> Outputs:
        """Run on one canvas: uint8 [H, W, 3] of the model's input size."""
        ...

    def infer_batch(self, images: np.ndarray) -> list[Outputs]:
        """Run on ``batch`` canvases: uint8 [N, H, W, 3]."""
        (pixels,) = images
        return [self.infer(pixels)]

    def close(self) -> None:
        """Give back what the session holds; it cannot run afterwards. A second call does nothing."""
        return


def open_session(
    model: str | Path,
    generations: int | None = None,
    best_only: bool = False,
    hints: CheckpointHints = CheckpointHints(),
) -> Session:
    """Load a checkpoint, an ONNX file or an engine, or an embedded or torchvision's model by its name.

    ``generations`` leaves out what later adaptations added; ``best_only`` drops detections that a better-scored one of
    another generation covers. ``hints`` say what a checkpoint of others does not say of itself.
    """
    from edgekit.runtime.selection import Selected

    path = resolve(model)
    session: Session
    if kind_of(path) != "checkpoint":
        hints.refuse(path)
    if kind_of(path) == "engine":
        from edgekit.runtime.engine_session import EngineSession

        session = EngineSession.open(path)
    elif kind_of(path) == "onnx":
        from edgekit.runtime.onnx_session import OnnxSession

        session = OnnxSession(path)
    else:
        from edgekit.runtime.torch_session import TorchSession

        session = TorchSession.load(model, hints)
    if generations is None and not best_only:
        return session
    meta = session.meta
    if generations is not None:
        if meta.best_only:
            raise EdgekitError(f"{path}: its generations are mixed (best only)", "export it again without --best-only")
        meta = meta.until(generations, path)
    return Selected(session, meta, best_only)


def detect(session: Session, photo: np.ndarray) -> Detections:
    """What a model finds in a photo, RGB uint8 [H, W, 3]."""
    canvas = fit(photo, session.meta.input_size)
    return from_canvas(canvas, *session.infer(canvas.pixels))

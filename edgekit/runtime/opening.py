"""Opens a model in the runtime that its form needs."""

from __future__ import annotations

from pathlib import Path

from edgekit.artifacts.model_names import kind_of, resolve
from edgekit.model.hints import CheckpointHints
from edgekit.runtime.selection import Selection
from edgekit.runtime.session import Session


def open_session(
    model: str | Path, selection: Selection = Selection(), hints: CheckpointHints = CheckpointHints()
) -> Session:
    """Load a checkpoint, an ONNX file, an engine, or a model by its name ("demo" or one of torchvision's).

    ``selection`` leaves out detections; ``hints`` describe a checkpoint that edgekit did not write.
    """
    path = resolve(model)
    kind = kind_of(path)
    session: Session
    if kind != "checkpoint":
        hints.refuse(path)
    if kind == "engine":
        from edgekit.runtime.engine_session import EngineSession

        session = EngineSession.open(path)
    elif kind == "onnx":
        from edgekit.runtime.onnx_session import OnnxSession

        session = OnnxSession(path)
    else:
        from edgekit.runtime.torch_session import TorchSession

        session = TorchSession.load(model, hints)
    return selection.apply(session, path)

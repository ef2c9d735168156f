"""Opens a model in the runtime that its form needs."""

from __future__ import annotations

from pathlib import Path

from edgekit.artifacts.model_names import kind_of, resolve
from edgekit.artifacts.onnx_files import open_onnx
from edgekit.artifacts.pack_files import read_packs
from edgekit.errors import EdgekitError
from edgekit.model.hints import CheckpointHints
from edgekit.runtime.selection import Selection
from edgekit.runtime.session import Session

TAKE_PACKS = ("checkpoint", "onnx")  # kinds of models that packs can be given with


def open_session(
    model: str | Path, selection: Selection = Selection(), hints: CheckpointHints = CheckpointHints()
) -> Session:
    """Load a checkpoint, an ONNX file, an engine, a folder of a model in parts, or a model by its name ("demo" or one
    of torchvision's).

    ``selection`` adds packs and leaves out detections; ``hints`` describe a checkpoint that edgekit did not write.
    """
    path = resolve(model)
    kind, packs = kind_of(path), read_packs(selection.packs)
    session: Session
    if kind != "checkpoint":
        hints.refuse(path)
    if packs and kind == "parts":
        raise EdgekitError(f"{path}: packs are installed into a folder", f"edgekit install PACK {path}")
    if packs and kind == "engine":
        raise EdgekitError(f"{path}: takes no packs", "export the base model with --pack, or to a folder (-o model/)")
    if kind == "engine":
        from edgekit.runtime.engine_session import EngineSession

        session = EngineSession.open(path)
    elif kind == "parts":
        from edgekit.runtime.parts_session import PartsSession

        session = PartsSession(path)
    elif kind == "onnx":
        from edgekit.graphs.appending import with_packs_appended
        from edgekit.runtime.onnx_session import OnnxSession

        session = OnnxSession(with_packs_appended(open_onnx(path), packs) if packs else path)
    else:
        from edgekit.runtime.torch_session import TorchSession

        session = TorchSession.load(model, hints, packs)
    return selection.apply(session, path)

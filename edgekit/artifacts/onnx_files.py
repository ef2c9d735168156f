"""ONNX files with edgekit's metadata."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.artifacts.metadata import METADATA_KEY, ModelMeta
from edgekit.errors import EdgekitError
from edgekit.files.whole_files import atomic_path

if TYPE_CHECKING:
    import onnx


def write_onnx(path: Path, model: onnx.ModelProto, meta: ModelMeta) -> None:
    """Write an ONNX model with the metadata in its ``metadata_props``."""
    import onnx
    from onnx import helper

    helper.set_model_props(model, {METADATA_KEY: meta.to_json()})
    model.producer_name = METADATA_KEY
    with atomic_path(path) as temporary:
        onnx.save(model, temporary)


@dataclass(frozen=True)
class OnnxFile:
    """A file that ``write_onnx`` wrote, read once: parsed and checked, with the digest of its bytes."""

    path: Path
    sha256: str
    graph: onnx.ModelProto
    meta: ModelMeta


def open_onnx(path: Path) -> OnnxFile:
    """Read what ``write_onnx`` wrote."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        data = path.read_bytes()
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise EdgekitError(f"{path}: is not an ONNX model or is damaged: {reason}", "export it again") from None
    text = next((p.value for p in model.metadata_props if p.key == METADATA_KEY), None)
    if text is None:
        raise EdgekitError(
            f"{path}: is an ONNX model but not edgekit's", "make one with: edgekit export MODEL -o OUT.onnx"
        )
    return OnnxFile(path, hashlib.sha256(data).hexdigest(), model, ModelMeta.from_json(text, path))


def read_onnx(path: Path) -> tuple[onnx.ModelProto, ModelMeta]:
    """A file's graph and what it says of itself."""
    file = open_onnx(path)
    return file.graph, file.meta
